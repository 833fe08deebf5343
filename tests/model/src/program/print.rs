//! Programs as a reader of a failed run sees them.

use std::fmt;

use super::{Op, Program, Target, Update, Visitor, name, seeded_record};
use crate::users::USERS;

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "get {key}"),
            Self::Insert(key, value) => write!(f, "insert {key}={value}"),
            Self::Remove(key) => write!(f, "remove {key}"),
            Self::Update(key, Update::Modify) => write!(f, "modify {key}+1"),
            Self::Update(key, Update::Increment) => write!(f, "update {key}+1"),
            Self::Update(key, Update::Toggle) => write!(f, "update {key} on/off"),
            Self::Clear => f.write_str("clear"),
            Self::Flash(kind, message) => write!(f, "flash {kind} {message}"),
            Self::Take(kind) => write!(f, "take_flash {kind}"),
            Self::Peek(kind) => write!(f, "peek_flash {kind}"),
            Self::TakeAll => f.write_str("take_all_flash"),
            Self::Regenerate => f.write_str("regenerate"),
            Self::Cycle => f.write_str("cycle_id"),
            Self::Destroy => f.write_str("destroy"),
            Self::Touch => f.write_str("touch"),
            Self::MaxAge(None) => f.write_str("set_max_age none"),
            Self::MaxAge(Some(hours)) => write!(f, "set_max_age {hours}h"),
            Self::Id => f.write_str("id"),
            Self::Save => f.write_str("save"),
            Self::Reload => f.write_str("reload"),
            Self::Commit => f.write_str("commit"),
            Self::LogIn { user, begun: false, tag } => write!(f, "log_in {} {tag}", USERS[*user]),
            Self::LogIn { user, begun: true, tag } => write!(f, "log_in_with {} {tag}", USERS[*user]),
            Self::Confirm => f.write_str("confirm"),
            Self::Impersonate(user, tag) => write!(f, "impersonate {} {tag}", USERS[*user]),
            Self::StopImpersonating => f.write_str("stop_impersonating"),
            Self::Label => f.write_str("set_device_label"),
            Self::BeginLogin(user) => write!(f, "begin_login of {}", USERS[*user]),
            Self::List(user) => write!(f, "list {}", USERS[*user]),
            Self::Count(user) => write!(f, "count {}", USERS[*user]),
            Self::End(user, Target::Own) => write!(f, "end {}'s own session", USERS[*user]),
            Self::End(user, Target::First(visitor)) => {
                write!(f, "end {}'s session-of-{}", USERS[*user], name(*visitor))
            }
            Self::End(user, Target::Listed(at)) => write!(f, "end {}'s listed {at}", USERS[*user]),
            Self::EndOthers(user) => write!(f, "end_others of {}", USERS[*user]),
            Self::EndAll(user) => write!(f, "end_all of {}", USERS[*user]),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}, {:?}", self.store, self.options)?;
        writeln!(f, "{:?}, taken ids {:?}", self.faults, self.taken)?;
        for (at, visitor) in self.visitors.iter().enumerate() {
            write!(f, "{}: {visitor:?}", name(at))?;
            match visitor {
                Visitor::Known { record, .. } => writeln!(f, " {{{}}}", seeded_record(at, *record))?,
                _ => writeln!(f)?,
            }
        }
        for (at, request) in self.requests.iter().enumerate() {
            let ops: Vec<_> = request.ops.iter().map(ToString::to_string).collect();
            write!(f, "request {at} of {}", name(request.visitor))?;
            if request.process > 0 {
                f.write_str(", in another process")?;
            }
            if request.optional {
                f.write_str(", optional")?;
            }
            if !request.planted.is_empty() {
                write!(f, ", behind {:?}", request.planted)?;
            }
            if !request.stop_on_error {
                f.write_str(", goes on after errors")?;
            }
            writeln!(f, ": {}", ops.join("; "))?;
        }
        Ok(())
    }
}
