//! The ruleset that a script holds.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{fault::Outcome, nat::model};

/// A ruleset, shared by all copies of the value.
#[derive(Debug, Clone)]
pub struct Ruleset {
    model: Arc<Mutex<model::Ruleset>>,
}

impl Ruleset {
    /// An empty ruleset.
    pub fn new(name: &str) -> Outcome<Self> {
        Ok(Self { model: Arc::new(Mutex::new(model::Ruleset::new(name)?)) })
    }

    /// What it says now.
    pub fn model(&self) -> model::Ruleset {
        self.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
