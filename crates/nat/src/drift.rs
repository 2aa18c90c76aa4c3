//! Differences between what a ruleset needs besides its rules, and what is there: pure.

/// The settings and interfaces that are not as a ruleset needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GatewayDrift {
    /// The kernel settings that have another value, one sentence each.
    pub(super) settings: Vec<String>,
    /// The interfaces of its rules that do not exist, one sentence each.
    pub(super) absent: Vec<String>,
}

impl GatewayDrift {
    /// Compares `needs`, by path, and the interfaces `devices` with what is there. A setting that cannot be read belongs
    /// to an interface that does not exist.
    pub(super) fn of(
        needs: &[(String, String)],
        devices: &[String],
        exists: impl Fn(&str) -> bool,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let setting = |(path, wanted): &(String, String)| {
            let now = read(path).filter(|now| now != wanted)?;
            Some(format!("{} is {now}, and {wanted} is needed", super::sysctl::key(path)))
        };
        let absent = devices.iter().filter(|device| !exists(device));
        Self {
            settings: needs.iter().filter_map(setting).collect(),
            absent: absent.map(|device| format!("there is no interface {device}")).collect(),
        }
    }

    /// Returns all sentences.
    pub(super) fn words(&self) -> Vec<String> {
        self.settings.iter().chain(&self.absent).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_interfaces_that_are_not_as_needed_are_told() {
        let needs = [("a/b", "1"), ("a/c", "0"), ("a/gone", "1")];
        let needs = needs.map(|(path, value)| (path.to_owned(), value.to_owned()));
        let devices = ["lan0", "ppp0"].map(str::to_owned);
        let read = |path: &str| (path != "a/gone").then(|| "0".to_owned());
        let drift = GatewayDrift::of(&needs, &devices, |device| device == "lan0", read);
        let words = ["a.b is 0, and 1 is needed", "there is no interface ppp0"];
        assert_eq!(drift.words(), words);
        assert_eq!(drift.absent.len(), 1);
    }
}
