//! Keys that a cluster is moving from one node to another.
//!
//! The node that is to have a key serves it already if it is told `ASKING` right before the command. The driver
//! tells it so once for a whole pipeline, which serves the first command only, and other requests over the same
//! connection may come between the two. It gives up after some rounds, and the key's node seems to be another
//! one each time. Then `ASKING` is sent in the same breath, before every command.

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, ServerErrorKind, Value, cmd};

/// Whether the server says nothing but that another node has the key. It has carried out nothing then, but for
/// commands of a pipeline that were served before.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ExecAbort, Moved};
    let Some(answers) = error.clone().into_server_errors() else { return false };
    let kinds = || answers.iter().map(|(_, answer)| answer.kind());
    kinds().any(|kind| matches!(kind, Some(Ask | Moved)))
        && kinds().all(|kind| matches!(kind, Some(Ask | Moved | ExecAbort)))
}

/// A connection over which every command has an `ASKING` before it. A node that has the key anyway takes no
/// notice.
pub(super) struct Asking<'c, C>(pub(super) &'c mut C);

/// The commands, and which of their answers count. A transaction is asked for as a whole.
fn with_asking<'p>(commands: impl Iterator<Item = &'p Cmd>) -> (Pipeline, Vec<bool>) {
    let (mut pipeline, mut counts) = (Pipeline::new(), Vec::new());
    let mut is_inside = false;
    for command in commands {
        let is = |name: &[u8]| command.args_iter().next() == Some(redis::Arg::Simple(name));
        if !is_inside {
            pipeline.add_command(cmd("ASKING"));
            counts.push(false);
        }
        is_inside = is(b"MULTI") || (is_inside && !is(b"EXEC"));
        pipeline.add_command(command.clone());
        counts.push(true);
    }
    (pipeline, counts)
}

async fn ask<'p>(
    connection: &mut impl ConnectionLike,
    commands: impl Iterator<Item = &'p Cmd>,
) -> redis::RedisResult<Vec<Value>> {
    let (pipeline, counts) = with_asking(commands);
    let answers = connection.req_packed_commands(&pipeline, 0, counts.len()).await?;
    Ok(answers.into_iter().zip(counts).filter_map(|(answer, counts)| counts.then_some(answer)).collect())
}

impl<C: ConnectionLike + Send> ConnectionLike for Asking<'_, C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut answers = ask(self.0, std::iter::once(command)).await?;
            Ok(answers.pop().unwrap_or(Value::Nil))
        })
    }

    /// Invariant: the store's pipelines are no transactions of the driver, whose answers it counts otherwise.
    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(ask(self.0, pipeline.cmd_iter()))
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
