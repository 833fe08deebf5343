//! The arguments: what the program can be asked, and what its help says.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sessile::SessionHandle;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; for `check`: something is wrong
  2  the arguments are wrong
  3  there is no session with this handle
  4  refused: `--yes` is missing, or the answer was no
  5  moved, but something was left: see what `move` says";

const STORES: &str = "\
A store is named by a URL: `file:DIR`, `sqlite:FILE`, `redis://HOST`, `rediss://HOST`, `postgres://HOST/DB`, \
`mysql://HOST/DB`. Everybody on this machine can read the arguments of a program: put a URL with a password into \
the environment variable.";

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

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// The options of a store. `move` has them twice.
macro_rules! store_options {
    ($name:ident, $before:literal, $heading:literal $(, $common:ident)?) => {
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            /// Redis: what the keys of sessions begin with. Default: `sess:`.
            #[arg(id = concat!($before, "prefix"), long = concat!($before, "prefix"), value_name = "PREFIX")]
            pub(crate) prefix: Option<String>,
            /// SQL: the table of the sessions. Default: `session` in PostgreSQL, else `sessions`.
            #[arg(id = concat!($before, "table"), long = concat!($before, "table"), value_name = "NAME")]
            pub(crate) table: Option<String>,
            /// PostgreSQL: the schema of the table.
            #[arg(id = concat!($before, "schema"), long = concat!($before, "schema"), value_name = "NAME")]
            pub(crate) schema: Option<String>,
            /// PostgreSQL: the time zone in which the column `expire` is written. Default: `UTC`.
            #[arg(id = concat!($before, "time-zone"), long = concat!($before, "time-zone"), value_name = "NAME")]
            pub(crate) time_zone: Option<String>,
            /// PostgreSQL: prepare no statements, for a pooler in transaction mode.
            #[arg(id = concat!($before, "unprepared"), long = concat!($before, "unprepared"))]
            pub(crate) unprepared: bool,
            /// Redis, PostgreSQL: the apps set `announce_ends`; tell them of the sessions that end.
            #[arg(id = concat!($before, "announce-ends"), long = concat!($before, "announce-ends"))]
            pub(crate) announce_ends: bool,
            /// Redis: the certificates of a private authority, in a file (PEM). In the URL of an SQL store:
            /// `sslrootcert`, `ssl-ca`.
            #[arg(id = concat!($before, "root-certificates"), long = concat!($before, "root-certificates"))]
            #[arg(value_name = "FILE")]
            pub(crate) root_certificates: Option<PathBuf>,
            /// Files: accept a folder that others can write to.
            #[arg(id = concat!($before, "shared-folder"), long = concat!($before, "shared-folder"))]
            pub(crate) shared_folder: bool,
            /// Files: the option `ttl` of session-file-store, where Express shares the folder. Default: 1h.
            #[arg(id = concat!($before, "express-ttl"), long = concat!($before, "express-ttl"))]
            #[arg(value_name = "DURATION", value_parser = duration)]
            pub(crate) express_ttl: Option<Duration>,
            /// The records are sealed: a file with the keys, one a line, newest first.
            #[arg(id = concat!($before, "sealing-key-file"), long = concat!($before, "sealing-key-file"))]
            #[arg(value_name = "FILE")]
            pub(crate) sealing_key_file: Option<PathBuf>,
        }

        $(impl From<$name> for $common {
            fn from(options: $name) -> Self {
                let $name {
                    prefix,
                    table,
                    schema,
                    time_zone,
                    unprepared,
                    announce_ends,
                    root_certificates,
                    shared_folder,
                    express_ttl,
                    sealing_key_file,
                } = options;
                Self {
                    prefix,
                    table,
                    schema,
                    time_zone,
                    unprepared,
                    announce_ends,
                    root_certificates,
                    shared_folder,
                    express_ttl,
                    sealing_key_file,
                }
            }
        })?
    };
}

store_options!(StoreOptions, "", "Store");
store_options!(FromOptions, "from-", "The store to copy from", StoreOptions);
store_options!(ToOptions, "to-", "The store to copy to", StoreOptions);
