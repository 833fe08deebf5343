//! [`MetadataChange`]: a change of what this crate itself keeps of a session.

use smol_str::SmolStr;

#[cfg(feature = "dbsc")]
use crate::record::metadata::Device;
use crate::record::metadata::Metadata;

/// A change of what this crate itself keeps of a session. Users are keyed hashes, and times are milliseconds
/// since 1970.
pub(crate) enum MetadataChange {
    LogIn(LoggedIn),
    /// The user has proved again who they are.
    Confirm {
        at: u64,
    },
    /// A name for the device.
    Label(SmolStr),
    /// `actor`, who is logged in, acts as `user`.
    Impersonate {
        actor: SmolStr,
        user: SmolStr,
    },
    /// `actor` acts as themselves again.
    StopImpersonating {
        actor: SmolStr,
    },
    /// The browser is asked to bind the session to its device.
    #[cfg(feature = "dbsc")]
    AskDevice(Device),
    /// The browser has registered the key of its device.
    #[cfg(feature = "dbsc")]
    BindDevice(Device),
}

/// A user has logged in.
pub(crate) struct LoggedIn {
    /// The hashes of the user, one for each secret, newest first.
    pub(crate) user: Vec<SmolStr>,
    pub(crate) at: u64,
    /// The epoch of the user's list when the login began, if it began before the commit.
    pub(crate) epoch: Option<SmolStr>,
}

impl MetadataChange {
    /// Makes the change. Over a record that another request has written it may find nobody logged in: then
    /// only a login has an effect.
    pub(super) fn apply(&self, metadata: &mut Metadata) {
        match self {
            Self::LogIn(LoggedIn { user, at, .. }) => {
                metadata.forget_user();
                metadata.user = user.first().cloned();
                // What was bound to a device was the session before the login.
                metadata.dbsc = None;
                (metadata.born, metadata.confirmed) = (Some(*at), Some(*at));
            }
            Self::Impersonate { actor, user } if metadata.user.as_ref() == Some(actor) => {
                metadata.forget_user();
                (metadata.user, metadata.actor) = (Some(user.clone()), Some(actor.clone()));
            }
            Self::StopImpersonating { actor } if metadata.actor.as_ref() == Some(actor) => {
                metadata.forget_user();
                metadata.user = Some(actor.clone());
            }
            Self::Confirm { at } if metadata.user.is_some() => metadata.confirmed = Some(*at),
            Self::Label(label) if metadata.user.is_some() => metadata.label = Some(label.clone()),
            // Another request may have asked first, and the browser may have answered that one already.
            #[cfg(feature = "dbsc")]
            Self::AskDevice(device) if metadata.dbsc.is_none() => {
                metadata.dbsc = Some(Box::new(device.clone()));
            }
            // The first registration wins, and one that was asked for before a login comes too late.
            #[cfg(feature = "dbsc")]
            Self::BindDevice(device) => {
                if let Some(asked) = &mut metadata.dbsc
                    && asked.id == device.id
                    && asked.key.is_none()
                {
                    **asked = device.clone();
                }
            }
            _ => {}
        }
    }
}
