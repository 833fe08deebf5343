//! [`Changes`]: what a commit is to write.

use std::time::SystemTime;

use crate::config::ConfigInner;
use crate::error::SessionError;
use crate::record::Record;
use crate::request::Transport;
use crate::session::change::Log;
use crate::session::state::Attempt;
use crate::session::view::{Updates, View};
use crate::store::joint::Fate;

/// The changes that a commit writes, and what earlier commits of the same request may have written of them.
pub(super) struct Changes {
    pub(super) log: Log,
    /// The changes as they were when some of them were found in the store. A record that is composed over
    /// nothing has all of them.
    pub(super) whole_log: Option<Log>,
    /// The writes of earlier commits of this request that got no answer, as far as their changes are in
    /// `log`.
    pub(super) unanswered: Vec<Attempt>,
    pub(super) transport: Transport,
    /// When the commit began. The new expiry counts from here.
    pub(super) now: SystemTime,
}

impl Changes {
    /// Takes the changes away, for work that outlives the commit.
    pub(super) fn take(&mut self) -> Self {
        Self {
            log: std::mem::take(&mut self.log),
            whole_log: self.whole_log.take(),
            unanswered: std::mem::take(&mut self.unanswered),
            transport: self.transport,
            now: self.now,
        }
    }

    /// The record to be stored: the changes, applied to `base`.
    pub(super) fn compose(
        &self,
        config: &ConfigInner,
        base: Option<&Record>,
    ) -> Result<Record, SessionError> {
        let log = self.whole_log.as_ref().filter(|_| base.is_none()).unwrap_or(&self.log);
        let born = config.policy.absolute_timeout.map(|_| self.now);
        let template = config.templates.get(self.transport);
        let draft = View { base, log }.replay(template, config.policy.max_age, born, Updates::Run)?;
        let record = draft.compose(self.now);
        config.policy.check_size(&record)?;
        Ok(record)
    }

    /// Whether a user logs in.
    pub(super) fn log_in(&self) -> bool {
        self.whole_log.as_ref().unwrap_or(&self.log).login().is_some()
    }

    /// Looks whether the store has what earlier commits of this request have sent without an answer, now that
    /// it holds `stored`. Those changes are not made again.
    ///
    /// Where nobody has seen the answer, and another request has written over the record, it cannot be told
    /// from any other record: changes in it are made twice.
    pub(super) fn recognise(&mut self, stored: &Record) {
        let known = self.unanswered.iter().filter(|attempt| attempt.sent.is_in(stored));
        // Whoever writes over the record hides it from the next commit, so that is told as well.
        let known = known.inspect(|attempt| attempt.sent.note(Fate::Written));
        let Some(written) = known.map(|attempt| attempt.changes).max() else { return };
        // Invariant: an attempt has at most as many changes as the log, from which both lose the same number.
        debug_assert!(written <= self.log.len());
        self.whole_log.get_or_insert_with(|| self.log.clone());
        self.log.drain(..written.min(self.log.len()));
        self.unanswered.retain_mut(|attempt| attempt.outlast(written));
    }
}
