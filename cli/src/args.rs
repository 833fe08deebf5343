//! The arguments: what the program can be asked, and what its help says.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sessile::SessionHandle;

use crate::store_options::{FromOptions, StoreOptions, ToOptions};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; for `check`: something is wrong
  2  the arguments are wrong
  3  there is no session with this handle
  4  refused: `--yes` is missing, or the answer was no
  5  moved, but something was left: see what `move` says";

const STORES: &str = "\
A store is named by a URL: `file:DIR`, `sqlite:FILE`, `redis://HOST`, `redis+cluster://HOST,HOST`, \
`redis+sentinel://HOST,HOST/NAME`, `postgres://HOST/DB`, `mysql://HOST/DB`; over TLS, `rediss` in the place of `redis`. \
NAME is what the Sentinels call the primary. The user and the password in the URL are those of the servers; those of \
the Sentinels are options: `?sentinel_username=…&sentinel_password=…`, and `sentinel_tls=no` where only the servers \
speak TLS. Everybody on this machine can read the arguments of a program: put a URL with a password into the \
environment variable.";

const SECRETS: &str = "\
The lists of users and the handles of sessions are made with the secrets of the app, so looking for either needs \
the same secrets. They are read from the environment variable SESSILE_SECRETS, several with a comma between them, \
newest first, or from a file, one a line. There is no argument for a secret itself, because everybody on this \
machine can read the arguments of a program.";

/// Lists, ends, counts, exports, erases and moves the sessions that apps keep with the crate sessile, or that Express
/// keeps beside them.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES, max_term_width = 100)]
#[command(propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON object, for scripts. An error is one as well, on the standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the live sessions of a user.
    List(List),
    /// End one session, or all sessions of a user.
    End(End),
    /// Show what a session holds: its keys, and its values if asked.
    Show(Show),
    /// Remove the expired sessions.
    ///
    /// They are absent for everybody already, so nobody is asked. Redis removes them by itself.
    Sweep(Sweep),
    /// Count the sessions, their ages and their sizes.
    Stats(Stats),
    /// Make a secret of 32 random bytes.
    Secret(Secret),
    /// Check that the store can serve: it is reachable, the rights and the tables are there, the clocks agree.
    Check(Check),
    /// Export what the store keeps of a user, as JSON.
    Export(Export),
    /// End all sessions of a user, and remove the user's list.
    ///
    /// Take the account away before, so that nobody can log in again.
    Erase(Erase),
    /// Copy all sessions from one store to another.
    ///
    /// No app may write to either store until the move is complete. A session is created, never written over. If the
    /// program is killed, start it again: it goes on, loses nothing and doubles nothing. Nothing is removed from the
    /// old store.
    Move(Move),
    /// Print the completions of a shell.
    Completions { shell: Shell },
    /// Print the manual page, or write the pages of all commands into a folder.
    Man {
        /// Write `sessile.1` and a page for each command into this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The user, as the app passes it to `log_in`.
    #[arg(long)]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) app: App,
}

#[derive(Debug, Args)]
pub(crate) struct End {
    /// End the sessions of this user, as the app passes it to `log_in`.
    #[arg(long, required_unless_present = "handle")]
    pub(crate) user: Option<String>,
    /// End the session with this handle. Without `--user`, all sessions of the store are searched for it.
    #[arg(long)]
    pub(crate) handle: Option<SessionHandle>,
    #[command(flatten)]
    pub(crate) yes: Yes,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) app: App,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The session's handle, as `list` and the events of the app name it. All sessions of the store are searched for it.
    #[arg(long)]
    pub(crate) handle: SessionHandle,
    /// Show the values as well. They are personal data.
    #[arg(long)]
    pub(crate) values: bool,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) app: App,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub(crate) store: Store,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// How long the app's store keeps a session without a max-age, to tell when it was last used.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub(crate) store_ttl: Duration,
    #[command(flatten)]
    pub(crate) store: Store,
}

#[derive(Debug, Args)]
pub(crate) struct Secret {
    /// Write the secret to this file, which nobody else can read, and which must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The user, as the app passes it to `log_in`.
    #[arg(long)]
    pub(crate) user: String,
    /// Write to this file, which nobody else can read, and which must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) app: App,
}

#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The user, as the app passes it to `log_in`.
    #[arg(long)]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) yes: Yes,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) app: App,
}

#[derive(Debug, Args)]
pub(crate) struct Move {
    /// The store to copy from.
    #[arg(env = "SESSILE_FROM", hide_env_values = true, long_help = STORES)]
    pub(crate) from: String,
    /// The store to copy to. A folder, a file or tables that are missing are created.
    #[arg(env = "SESSILE_TO", hide_env_values = true)]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) yes: Yes,
    #[command(flatten)]
    pub(crate) from_options: FromOptions,
    #[command(flatten)]
    pub(crate) to_options: ToOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Yes {
    /// Do it without asking. Needed wherever nobody can be asked, as in scripts.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Store {
    /// The store's URL.
    #[arg(long, value_name = "URL", env = "SESSILE_STORE", hide_env_values = true, long_help = STORES)]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) options: StoreOptions,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "App")]
pub(crate) struct App {
    #[command(flatten)]
    pub(crate) secrets: Secrets,
    /// The app hashes ids (`hash_ids`): `on`, or the time until which it finds the others, as in
    /// 2026-05-01T00:00:00Z. Say what the app says: sessions that are over for it are removed from the lists.
    #[arg(long, value_name = "on|TIME", value_parser = hash_ids)]
    pub(crate) hash_ids: Option<HashIds>,
    /// The app's `absolute_timeout`. Say what the app says, or nothing.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) absolute_timeout: Option<Duration>,
    /// The app's `store_ttl`, for sessions without a max-age.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub(crate) store_ttl: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "App")]
pub(crate) struct Secrets {
    /// A file with the app's secrets, one a line, newest first. Default: the environment variable SESSILE_SECRETS.
    #[arg(long, value_name = "FILE", long_help = SECRETS)]
    pub(crate) secrets_file: Option<PathBuf>,
    /// What the app makes its secrets of: the bytes of the text, or what the text encodes.
    #[arg(long, value_name = "ENCODING", value_enum, default_value_t = Encoding::Text)]
    pub(crate) secrets_encoding: Encoding,
    /// The app's secrets are a `Key` of axum-extra's cookie jars: how it makes the key, with `Key::from` or with
    /// `Key::derive_from`.
    #[arg(long, value_name = "CALL", value_enum)]
    pub(crate) cookie_key: Option<CookieKey>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Encoding {
    #[default]
    Text,
    /// With or without padding, also in the alphabet for URLs.
    Base64,
    Hex,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum CookieKey {
    From,
    DeriveFrom,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum HashIds {
    On,
    MovingUntil(SystemTime),
}

fn hash_ids(text: &str) -> Result<HashIds, String> {
    if text == "on" {
        return Ok(HashIds::On);
    }
    let time = humantime::parse_rfc3339_weak(text);
    time.map(HashIds::MovingUntil).map_err(|error| format!("neither `on` nor a time: {error}"))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}
