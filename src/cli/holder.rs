//! Who listens on a port that is taken, as far as this user may see.

use std::{fs, net::SocketAddr};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The process that listens on this address's port, as `pid 4711 (nginx)`; `None` when it is another user's, or cannot be told.
pub(super) fn of_port(address: &str) -> Option<String> {
    let port = address.parse::<SocketAddr>().ok()?.port();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables
        .iter()
        .flat_map(|table| table.lines())
        .find_map(|line| inode_listening_on(line, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("pid {pid} ({})", name.trim_end()))
}

/// The socket's number in a line of `/proc/net/tcp`, if it listens on this port.
fn inode_listening_on(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_ascii_whitespace();
    let (_, own) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let is_it = u16::from_str_radix(own, 16) == Ok(port) && state == LISTENING;
    fields.nth(5).filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_process_that_listens_on_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = of_port(&address.to_string()).unwrap();
        assert!(
            found.starts_with(&format!("pid {} (", std::process::id())),
            "{found}"
        );
        drop(listener);
        assert_eq!(of_port(&address.to_string()), None);
        assert_eq!(of_port("not an address"), None);
    }
}
