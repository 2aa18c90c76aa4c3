//! The values of statements and rows, as PostgreSQL has them.

use std::{error::Error, sync::Arc};

use bytes::BytesMut;
use tokio_postgres::{
    Row,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use crate::sql::{SqlError, SqlResult, SqlRow, SqlValue};

/// Converts the rows of an answer.
pub(super) fn rows(rows: &[Row]) -> SqlResult<Vec<SqlRow>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let names: Vec<_> = first.columns().iter().map(|column| column.name().to_owned()).collect();
    let (columns, count) = (Arc::<[String]>::from(names), first.len());
    let convert = |row: &Row| {
        let values = (0..count).map(|index| value(row, index)).collect::<SqlResult<_>>()?;
        Ok(SqlRow::new(Arc::clone(&columns), values))
    };
    rows.iter().map(convert).collect()
}

fn value(row: &Row, index: usize) -> SqlResult<SqlValue> {
    let kind = row.columns().get(index).map_or(&Type::UNKNOWN, |column| column.type_());
    let int = |number: i64| SqlValue::Int(number);
    let found = match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(int),
        Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(i64::from).map(int),
        Type::BOOL => row.try_get::<_, Option<bool>>(index)?.map(SqlValue::Bool),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
            row.try_get::<_, Option<String>>(index)?.map(SqlValue::Text)
        }
        ref other => return Err(SqlError::Row(format!("column {index} has the type `{other}`"))),
    };
    Ok(found.unwrap_or(SqlValue::Null))
}

impl ToSql for SqlValue {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Self::Int(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::Bool(is), &Type::BOOL) => is.to_sql(kind, out),
            // PostgreSQL has no text with a zero in it.
            (Self::Text(text), _) if text.contains('\0') => {
                text.replace('\0', "\u{fffd}").to_sql(kind, out)
            }
            (Self::Text(text), _) if <String as ToSql>::accepts(kind) => text.to_sql(kind, out),
            _ => Err(format!("a value for `{kind}` is of another type").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
