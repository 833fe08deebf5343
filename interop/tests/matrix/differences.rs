//! The differences that are meant, each with its reason and with exactly what it makes of Express' outcome.

use serde_json::json;

use crate::cell::{Action, Cell, Cookie, Outcome, Visitor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    CommitBeforeBody,
    ServerErrorSavesNothing,
    OrderIsNoChange,
    LifetimeIsKept,
    SaveIsEnough,
    SaveOnce,
    SavedMeansCookie,
    NothingToDestroy,
    DestroyOnce,
    NewBeforeOld,
    CookieExpired,
    LogoutWins,
    NoLostUpdate,
    NoOrphan,
    SecureCookieCame,
    SignedAnew,
    TouchAtLoad,
}

/// In the order in which they are applied: a later one finds what the earlier ones made.
pub(crate) const ALL: [Difference; 17] = [
    Difference::CommitBeforeBody,
    Difference::ServerErrorSavesNothing,
    Difference::OrderIsNoChange,
    Difference::LifetimeIsKept,
    Difference::SaveIsEnough,
    Difference::SaveOnce,
    Difference::SavedMeansCookie,
    Difference::NothingToDestroy,
    Difference::DestroyOnce,
    Difference::NewBeforeOld,
    Difference::CookieExpired,
    Difference::LogoutWins,
    Difference::NoLostUpdate,
    Difference::NoOrphan,
    Difference::SecureCookieCame,
    Difference::SignedAnew,
    Difference::TouchAtLoad,
];

/// What a cell has to come to here, and the differences that had a part in it.
pub(crate) fn expected<'e>(cell: Cell, express: impl Fn(&Cell) -> &'e Outcome) -> (Outcome, Vec<Difference>) {
    let theirs = express(&cell);
    let (mut outcome, mut by) = (theirs.clone(), Vec::new());
    for difference in ALL {
        let before = outcome.clone();
        difference.apply(cell, &mut outcome, |action| express(&Cell { action, ..cell }));
        if outcome != before {
            by.push(difference);
        }
    }
    if outcome == *theirs {
        by.clear();
    }
    (outcome, by)
}

impl Difference {
    /// Turns the outcome into what it is here. `like` is what Express does in the same place for another
    /// action.
    fn apply<'e>(self, cell: Cell, outcome: &mut Outcome, like: impl Fn(Action) -> &'e Outcome) {
        let Cell { visitor, action, options } = cell;
        match self {
            Self::CommitBeforeBody if action == Action::BodyModify => *outcome = like(Action::Read).clone(),
            Self::ServerErrorSavesNothing if action == Action::ModifyFail => {
                outcome.calls.clear();
                outcome.cookie = Cookie::None;
                outcome.records = if visitor.stored() { vec![json!({ "n": 1, "m": 1 })] } else { vec![] };
            }
            Self::OrderIsNoChange if action == Action::Reorder => *outcome = like(Action::Read).clone(),
            Self::LifetimeIsKept if action == Action::MaxAge => {
                outcome.calls = "S".into();
                outcome.cookie = if visitor.stored() { Cookie::Same } else { Cookie::New };
                outcome.records = vec![if visitor.stored() { json!({ "n": 1, "m": 1 }) } else { json!({}) }];
            }
            Self::SaveIsEnough if matches!(action, Action::Save | Action::ModifySave) => {
                outcome.calls = outcome.calls.replace("ST", "S");
            }
            Self::SaveOnce if action == Action::RegenerateModifySave => {
                outcome.calls = outcome.calls.replace("SS", "S");
            }
            Self::SavedMeansCookie if action == Action::Save && !visitor.stored() => {
                outcome.cookie = Cookie::New;
            }
            Self::NothingToDestroy if !visitor.stored() => outcome.calls = outcome.calls.replace('D', ""),
            Self::DestroyOnce if action == Action::DestroyUnset => {
                outcome.calls = outcome.calls.replace("DD", "D");
            }
            Self::NewBeforeOld => outcome.calls = outcome.calls.replace("DS", "SD"),
            Self::CookieExpired if action.destroys() && visitor != Visitor::New => {
                outcome.cookie = Cookie::Expired;
            }
            Self::LogoutWins if action == Action::GoneModify => {
                *outcome =
                    Outcome { status: 409, calls: String::new(), cookie: Cookie::None, records: vec![] };
            }
            Self::LogoutWins if action == Action::GoneRead => {
                outcome.records.clear();
                if options.resave || options.rolling {
                    outcome.calls.clear();
                    outcome.cookie = Cookie::None;
                }
            }
            Self::NoLostUpdate if matches!(action, Action::ChangedRead | Action::ChangedModify) => {
                outcome.records[0]["m"] = json!(2);
            }
            Self::NoOrphan if action.over_http() && !visitor.stored() => {
                outcome.calls.clear();
                outcome.records.clear();
            }
            Self::SecureCookieCame if action == Action::HttpRead && visitor.stored() => {
                outcome.cookie = like(Action::Read).cookie;
            }
            Self::SecureCookieCame if action == Action::HttpModify && visitor.stored() => {
                outcome.cookie = like(Action::Modify).cookie;
            }
            Self::SignedAnew if visitor == Visitor::OldSecret && outcome.cookie == Cookie::None => {
                let commits = !matches!(
                    action,
                    Action::NullKeep | Action::ModifyFail | Action::GoneRead | Action::GoneModify
                );
                if commits {
                    outcome.cookie = Cookie::Same;
                }
            }
            Self::TouchAtLoad if visitor.stored() && !options.rolling && outcome.calls.is_empty() => {
                outcome.calls = "T".into();
            }
            _ => {}
        }
    }

    /// What it is called on the page, and why it is so.
    pub(crate) fn name_and_reason(self) -> (&'static str, &'static str) {
        match self {
            Self::CommitBeforeBody => (
                "Commit before the body",
                "The head of the response waits for the store, so a redirect never overtakes its session. What is changed \
                 while the body is on its way comes after the commit: call `commit` or `save` for it. Express stores it, \
                 for a new session without ever sending the cookie.",
            ),
            Self::ServerErrorSavesNothing => (
                "A server error saves nothing",
                "A handler that failed half way leaves the session as it was. \
                 `SessionLayer::save_on_server_error(true)` saves as Express does.",
            ),
            Self::OrderIsNoChange => (
                "The order of keys is no change",
                "An object with the same keys and values is the same data.",
            ),
            Self::LifetimeIsKept => (
                "A session's own max-age is kept",
                "Express forgets `cookie.maxAge = …` unless the request also changes data. \"Remember me\" is a change: it \
                 is stored, and the cookie with the new expiry is sent.",
            ),
            Self::SaveIsEnough => (
                "A save needs no touch",
                "What was just written with its whole life ahead is not touched at the end of the request.",
            ),
            Self::SaveOnce => (
                "One save after `regenerate`",
                "Express stores the new session again although it was just saved.",
            ),
            Self::SavedMeansCookie => (
                "A saved session gets its cookie",
                "Express stores a new session that was saved empty and sends no cookie: nobody can ever come back to it.",
            ),
            Self::NothingToDestroy => {
                ("Nothing to destroy", "What was never stored is not asked to be removed: a call less.")
            }
            Self::DestroyOnce => {
                ("Destroyed once", "Express removes the record again at the end of the response.")
            }
            Self::NewBeforeOld => (
                "New record before old",
                "`regenerate` stores the new session first and removes the old one after: an error in between leaves the \
                 old one working.",
            ),
            Self::CookieExpired => (
                "The cookie is expired",
                "After `destroy` the browser drops the cookie; Express leaves it there until version 2.",
            ),
            Self::LogoutWins => (
                "Logout wins",
                "A session that another request destroyed is not brought back. A request that changed it is answered with \
                 409; one that read it is answered as ever, without a cookie.",
            ),
            Self::NoLostUpdate => (
                "No lost update",
                "What another request changed meanwhile stays. Express writes the whole record as this request saw it.",
            ),
            Self::NoOrphan => (
                "No orphan record",
                "A Secure cookie cannot reach a browser that speaks http, so no session is stored for it.",
            ),
            Self::SecureCookieCame => (
                "A Secure cookie that came is answered",
                "Browsers send a Secure cookie over https alone. Where one came, the browser speaks https, whatever the \
                 proxy says.",
            ),
            Self::SignedAnew => (
                "Signed anew",
                "A cookie under an old secret is sent again under the new one at the first commit, so that the old secret \
                 can be dropped after one max-age. Express does it only where a cookie is due anyway.",
            ),
            Self::TouchAtLoad => (
                "Touched when loaded",
                "A session's life is extended when it is loaded, once in `touch_after`, whatever becomes of the request.",
            ),
        }
    }
}
