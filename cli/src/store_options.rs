//! The options of a store, for one store and for the two of `move`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::{Encoding, duration};

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
            /// Redis: the certificate to show to servers that ask for one, in a file (PEM). In the URL of an SQL store:
            /// `sslcert`, `ssl-cert`.
            #[arg(id = concat!($before, "client-certificate"), long = concat!($before, "client-certificate"))]
            #[arg(value_name = "FILE", requires = concat!($before, "client-key"))]
            pub(crate) client_certificate: Option<PathBuf>,
            /// Redis: the key of that certificate, in a file (PEM).
            #[arg(id = concat!($before, "client-key"), long = concat!($before, "client-key"))]
            #[arg(value_name = "FILE", requires = concat!($before, "client-certificate"))]
            pub(crate) client_key: Option<PathBuf>,
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
            /// What the app makes those keys of: the bytes of the text, or what the text encodes.
            #[arg(id = concat!($before, "sealing-key-encoding"), long = concat!($before, "sealing-key-encoding"))]
            #[arg(value_name = "ENCODING", value_enum, default_value_t = Encoding::Text)]
            pub(crate) sealing_key_encoding: Encoding,
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
                    client_certificate,
                    client_key,
                    shared_folder,
                    express_ttl,
                    sealing_key_file,
                    sealing_key_encoding,
                } = options;
                Self {
                    prefix,
                    table,
                    schema,
                    time_zone,
                    unprepared,
                    announce_ends,
                    root_certificates,
                    client_certificate,
                    client_key,
                    shared_folder,
                    express_ttl,
                    sealing_key_file,
                    sealing_key_encoding,
                }
            }
        })?
    };
}

store_options!(StoreOptions, "", "Store");
store_options!(FromOptions, "from-", "The store to copy from", StoreOptions);
store_options!(ToOptions, "to-", "The store to copy to", StoreOptions);
