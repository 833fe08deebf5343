//! `wrk`, the client that loads a server.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::inner::{Core, on};
use crate::serve::Server;

/// The core of the servers, and the one of the client.
pub const SERVERS: Core = Core::Only(0);
pub const CLIENT: Core = Core::Only(1);

/// As many sessions are asked for in turn, so that two requests at a time seldom are for the same one.
pub const SESSIONS: usize = 64;

#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub seconds: u64,
}

/// What a server did under a load.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub per_second: f64,
    /// Microseconds of the server's processor for each request: its threads' own, whatever else ran beside
    /// them.
    pub processor: f64,
}

/// Loads the server, which is to answer every request well.
pub fn load(server: &Server, path: &str, cookies: &[String], load: Load) -> Sample {
    let mut script = tempfile::NamedTempFile::with_suffix(".lua").expect("a temporary file");
    script.write_all(lua(path, cookies).as_bytes()).expect("a temporary file");
    let mut command = on(CLIENT, "wrk");
    command.args(["-t1", &format!("-c{}", load.connections), &format!("-d{}s", load.seconds)]);
    command.arg("-s").arg(script.path()).arg(server.url("/"));
    let before = server.processor();
    let output = command.output().expect("wrk is installed");
    // A thread that has ended no longer counts.
    let spent = server.processor().saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let well = !text.contains("Non-2xx") && !text.contains("Socket errors");
    assert!(output.status.success() && well, "{text}{}", String::from_utf8_lossy(&output.stderr));
    let number = |text: Option<&str>| text.and_then(|number| number.trim().parse().ok());
    let rate = number(text.lines().find_map(|line| line.strip_prefix("Requests/sec:")));
    let count: Option<f64> =
        number(text.lines().find_map(|line| line.split_once(" requests in")).map(|(count, _)| count));
    let (Some(per_second), Some(count)) = (rate, count) else { panic!("no rate in {text}") };
    Sample { per_second, processor: spent.as_secs_f64() * 1e6 / count }
}

/// A script that asks with one cookie after the other; the requests are made before the clock starts.
fn lua(path: &str, cookies: &[String]) -> String {
    let mut script = String::from("local cookies = {\n");
    for cookie in cookies {
        let _ = writeln!(script, "  [==[{cookie}]==],");
    }
    let _ = write!(
        script,
        "}}\nlocal requests, last = {{}}, 0\n\
         function init()\n  \
         for i, cookie in ipairs(cookies) do requests[i] = wrk.format('GET', '{path}', {{ Cookie = cookie }}) end\nend\n\
         function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n"
    );
    script
}
