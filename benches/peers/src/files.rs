//! Sessions in files, over HTTP.

use crate::contestants::Contestant;
use crate::http::{Racer, race};
use crate::inner::on;
use crate::report::{Part, Table, grouped};
use crate::serve::{FILE_STORES, Server};
use crate::statistics::Spread;
use crate::wrk::SERVERS;

pub fn measure() -> Part {
    // On the disk of the build, as temporary folders may be in memory.
    let program = std::env::current_exe().expect("this program has a path");
    let disk = program.parent().expect("a folder");
    let folders: Vec<_> =
        (0..=FILE_STORES.len()).map(|_| tempfile::tempdir_in(disk).expect("a folder")).collect();
    let mut racers: Vec<_> = FILE_STORES
        .iter()
        .zip(&folders)
        .map(|(&store, folder)| {
            let (name, contestant) = match store {
                "sessile-fsync" => ("sessile, `fsync` of each file (the default)", Contestant::Sessile),
                "sessile" => ("sessile, `Durability::None`", Contestant::Sessile),
                _ => ("tower-sessions-file-store", Contestant::Tower),
            };
            Racer::new(name, contestant, Server::files(SERVERS, store, folder.path()))
        })
        .collect();
    let last = folders.last().expect("one more than the stores").path();
    if let Some(express) = Server::express(SERVERS, "node", last.to_str().expect("a path that is text")) {
        racers.push(Racer::new("session-file-store, Express on Node.js", Contestant::Sessile, express));
    }
    let mut table = Table::new(&["requests per second", "read", "write"]);
    let rates = ["/read", "/write"].map(|path| race(&racers, path));
    for (nth, racer) in racers.iter().enumerate() {
        let rates = rates.each_ref().map(|rates| {
            grouped(Spread::of(rates[nth].iter().map(|sample| sample.per_second).collect()).median)
        });
        table.row([vec![racer.name.clone()], rates.to_vec()].concat());
    }
    let mut kind = on(crate::inner::Core::Any, "stat");
    let kind = kind.args(["-f", "-c", "%T"]).arg(disk).output().expect("every system has `stat`");
    let text = format!(
        "Over HTTP as above, the files on {}. Only sessile's default waits for the disk.\n\n{table}",
        String::from_utf8_lossy(&kind.stdout).trim()
    );
    Part { name: "files", title: "Files", text }
}
