//! The tokens of the page and its API. Only their hashes are kept: a reader of the store cannot use them.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{
    Store,
    sql::{SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// The rights of a token. The words are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum TokenRole {
    /// Reading everything.
    Read,
    /// Reading, and running, pausing, resuming and stopping jobs.
    Operate,
}

impl TokenRole {
    /// The word for each role.
    pub const NAMES: &[&str] = Self::VARIANTS;

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A token without its secret part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The name, unique.
    pub name: String,
    /// The rights.
    pub role: TokenRole,
    /// The time at which it was made.
    pub created_at: Timestamp,
    /// The time from which it is refused, if there is one.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "name, role, created_at, expires_at";

impl Store {
    /// Adds a token with the hash of its text. Returns false if there is one of that name already.
    pub fn add_token(&mut self, token: &TokenRecord, hash: &str) -> Result<bool> {
        let put = "INSERT INTO tokens (name, hash, role, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (name) DO NOTHING";
        let expires = token.expires_at.map(Timestamp::as_millisecond);
        let created = token.created_at.as_millisecond();
        let values = values![token.name, hash, token.role.as_str(), created, expires];
        self.transact(|sql| sql.execute(put, &values).map(|rows| rows > 0))
    }

    /// Returns every token, sorted by name.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>> {
        let query = format!("SELECT {COLUMNS} FROM tokens ORDER BY name");
        self.query(|sql| sql.all(&query, &[], token))
    }

    /// Returns the token with this hash, unless it has expired at `now`.
    pub fn token(&self, hash: &str, now: Timestamp) -> Result<Option<TokenRecord>> {
        let query = format!(
            "SELECT {COLUMNS} FROM tokens WHERE hash = $1 AND (expires_at IS NULL OR expires_at > $2)"
        );
        let values = values![hash, now.as_millisecond()];
        self.query(|sql| sql.first(&query, &values, token))
    }

    /// Removes a token. Returns false if there is none of that name.
    pub fn revoke_token(&mut self, name: &str) -> Result<bool> {
        let delete = "DELETE FROM tokens WHERE name = $1";
        self.transact(|sql| sql.execute(delete, &values![name]).map(|rows| rows > 0))
    }
}

fn token(row: &SqlRow) -> SqlResult<TokenRecord> {
    let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default();
    let role: String = row.get("role")?;
    Ok(TokenRecord {
        name: row.get("name")?,
        // A role of a later version has no rights that this one knows, but those of reading.
        role: role.parse().unwrap_or(TokenRole::Read),
        created_at: time(row.get("created_at")?),
        expires_at: row.get::<Option<i64>>("expires_at")?.map(time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_token_is_found_by_its_hash_until_it_expires_or_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let token = |name: &str, role, expires_at| TokenRecord {
            name: name.into(),
            role,
            created_at: at(100),
            expires_at,
        };
        let all =
            [token("a", TokenRole::Read, Some(at(200))), token("b", TokenRole::Operate, None)];
        assert!(store.add_token(&all[1], "hash-b").unwrap());
        assert!(store.add_token(&all[0], "hash-a").unwrap());
        assert!(!store.add_token(&all[0], "another").unwrap(), "the name is taken");
        assert_eq!(store.tokens().unwrap(), all);
        assert_eq!(store.token("hash-a", at(199)).unwrap().as_ref(), Some(&all[0]));
        assert_eq!(store.token("hash-a", at(200)).unwrap(), None);
        assert_eq!(store.token("another", at(150)).unwrap(), None);
        assert_eq!(store.token("hash-b", at(1_000_000)).unwrap().as_ref(), Some(&all[1]));
        assert!(store.revoke_token("b").unwrap());
        assert!(!store.revoke_token("b").unwrap());
        assert_eq!(store.token("hash-b", at(150)).unwrap(), None);
    }
}
