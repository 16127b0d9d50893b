//! The address of this machine at which readers of the cluster reach it, for nodes that name none.

use std::net::{IpAddr, SocketAddr};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use tokio::{net::lookup_host, time::timeout};

use super::{connection::CALL, endpoints::Endpoints};
use crate::RegistryError;

/// Addresses for documentation, which no machine has: the way to them is the way to everywhere.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// The address from which this machine speaks to the cluster: others that speak to it are mostly in the same network.
///
/// That of a member on this machine would be a loopback address, which means another machine to every other reader. Then it is the
/// address from which this machine speaks to everybody else, without a way there that of any interface, and the loopback address only
/// where there is nothing else, for then there is nobody else.
///
/// # Errors
///
/// `Unavailable` when there is no way to any member.
pub(super) async fn find(endpoints: &Endpoints) -> Result<IpAddr, RegistryError> {
    let mut why = "no member is named".to_owned();
    for place in endpoints.places() {
        match timeout(CALL, lookup_host(place)).await {
            Ok(Ok(members)) => match members.map(towards).reduce(Result::or) {
                Some(Ok(own)) if own.is_loopback() => return Ok(beyond_loopback().unwrap_or(own)),
                Some(Ok(own)) => return Ok(own),
                Some(Err(error)) => why = format!("no way to {place}: {error}"),
                None => why = format!("{place} has no address"),
            },
            Ok(Err(error)) => why = format!("{place}: {error}"),
            Err(_) => why = format!("{place}: its name was not resolved in time"),
        }
    }
    Err(RegistryError::unavailable(format!(
        "the address to announce cannot be found ({why}); `advertise` names one"
    )))
}

/// The address of this machine on the way to another one. Nothing is sent.
fn towards(other: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = match other {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(other)?;
    Ok(socket.local_addr()?.ip())
}

/// The best address that others can dial.
fn beyond_loopback() -> Option<IpAddr> {
    let ways = ELSEWHERE.iter().filter_map(|other| other.parse().ok());
    let mut own = ways.filter_map(|other| towards(other).ok());
    own.find(|own| is_dialled(*own)).or_else(any_interface)
}

/// The first address of an interface that is up, IPv4 before IPv6.
fn any_interface() -> Option<IpAddr> {
    let usable = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let up = getifaddrs().ok()?.filter(|i| i.flags.contains(usable));
    let own = up.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
    });
    own.filter(|own| is_dialled(*own)).min()
}

/// Whether others can dial it as it is. A link-local address means nothing without the interface, which is another one for each of them.
fn is_dialled(own: IpAddr) -> bool {
    let local = match own {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || own.is_loopback() || own.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tls;

    async fn found(endpoints: &[&str]) -> Result<IpAddr, RegistryError> {
        let texts: Vec<_> = endpoints.iter().map(|&text| text.to_owned()).collect();
        find(&Endpoints::new(&texts, &Tls::default()).unwrap()).await
    }

    #[tokio::test]
    async fn a_member_on_this_machine_is_no_reason_to_announce_a_loopback_address() {
        for member in ["127.0.0.1", "[::1]:5", "https://localhost"] {
            let own = found(&[member]).await.unwrap();
            match beyond_loopback() {
                Some(best) => assert!(own == best && is_dialled(own), "{member}: {own}"),
                None => assert!(own.is_loopback(), "{member}: {own}"),
            }
        }
    }

    #[tokio::test]
    async fn a_member_that_cannot_be_resolved_is_named_and_the_next_one_asked() {
        let nowhere = "no-such-host.invalid";
        let error = found(&[nowhere]).await.unwrap_err().to_string();
        assert!(
            error.contains(nowhere) && error.contains("advertise"),
            "{error}"
        );
        found(&[nowhere, "127.0.0.1"]).await.unwrap();
    }
}
