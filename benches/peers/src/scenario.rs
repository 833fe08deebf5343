//! The kinds of request that are measured.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scenario {
    Read,
    Write,
    Rolling,
    New,
    Forged,
    Plain,
    Login,
}

use Scenario::*;

impl Scenario {
    pub const ALL: [Self; 7] = [Read, Write, Rolling, New, Forged, Plain, Login];

    /// What it is called, and the word for it on the command line.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Read => ("read", "read"),
            Write => ("write", "write"),
            Rolling => ("rolling read", "rolling"),
            New => ("new session", "new"),
            Forged => ("forged cookie", "forged"),
            Plain => ("route without a session", "plain"),
            Login => ("page of a logged-in user", "login"),
        }
    }

    pub fn name(self) -> &'static str {
        self.names().0
    }

    pub fn word(self) -> &'static str {
        self.names().1
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.word() == word)
    }
}
