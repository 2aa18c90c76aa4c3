//! The values of a table that follow from the rows of its keys.

use super::table::{JobsDocument, JobsTable};
use crate::option_table::{OptionKind, OptionRow, OptionTable};

impl JobsTable<'_> {
    /// Stores the values that are given in `target`. A value that cannot be read is a finding, and its field stays.
    pub(super) fn fill<T>(
        &mut self,
        keys: &OptionTable<T>,
        target: &mut T,
        page: &mut JobsDocument<'_>,
    ) {
        for row in keys.rows {
            self.fill_one(row, target, page);
        }
    }

    fn fill_one<T>(
        &mut self,
        row: &OptionRow<T>,
        target: &mut T,
        page: &mut JobsDocument<'_>,
    ) -> Option<()> {
        let key = row.key;
        match &row.kind {
            OptionKind::Flag(set) => set(target, self.flag(key, page)?),
            OptionKind::Count(range, set) => {
                let (least, most) = (i64::from(*range.start()), i64::from(*range.end()));
                set(target, self.number(key, least, most, page)?);
            }
            OptionKind::Number(range, set) => {
                let whole = |number: &u64| i64::try_from(*number).unwrap_or(i64::MAX);
                let (least, most) = (whole(range.start()), whole(range.end()));
                set(target, self.number(key, least, most, page)?);
            }
            OptionKind::Size(set) => set(target, self.size(key, page)?),
            OptionKind::Duration(set) => set(target, self.duration(key, page)?),
            OptionKind::DurationIn(range, set) => set(target, self.duration_in(key, range, page)?),
            OptionKind::Choice(words) => self.choice(key, words, page)?(target),
            OptionKind::Text(set) => {
                let (text, span) = self.text(key, page)?;
                if let Err(fault) = set(target, text) {
                    page.error(span, fault.message, None);
                }
            }
            OptionKind::EachText(set) => {
                for (text, span) in self.texts(key, page) {
                    if let Err(fault) = set(target, &[text.to_owned()]) {
                        page.error(span, fault.to_string(), None);
                    }
                }
            }
            // No key of the file has such values, or its table reads them itself.
            OptionKind::FlagOrAuto(_)
            | OptionKind::FlagOrPath(..)
            | OptionKind::CountOrAuto(..)
            | OptionKind::Rate(_)
            | OptionKind::Secret(..)
            | OptionKind::Texts(_)
            | OptionKind::Pairs(_)
            | OptionKind::Address(_)
            | OptionKind::Ports(_)
            | OptionKind::Own => {}
        }
        Some(())
    }
}
