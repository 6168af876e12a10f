//! A connection that is ready for requests, for probes that are more than one exchange, or less.

use tokio::time::Instant;
use tokio_util::either::Either;

use tokio_rustls::client::TlsStream;

use super::Prepared;
use super::connect::{ConnectEnd, connect};
use super::meter::Meter;
use crate::observation::Address;
use crate::upstream::Scheme;

/// Plain, or over TLS.
pub(super) type Open = Either<Meter, Box<TlsStream<Meter>>>;

/// Why there is none; more is the business of plain probes.
pub(super) enum NotOpen {
    /// Our own side prevented it.
    Prevented,
    /// The peer or the network did.
    Failed,
}

/// Connects, and shakes hands where the target is reached over TLS.
pub(super) async fn open(prepared: &Prepared, address: &Address, deadline: Instant) -> Result<Open, NotOpen> {
    let target = &*prepared.target;
    let connection = match connect(address, target.source_address, deadline).await {
        Ok(connection) => connection,
        Err(ConnectEnd::Fault(_)) => return Err(NotOpen::Failed),
        Err(ConnectEnd::Own(_) | ConnectEnd::NoRoute) => return Err(NotOpen::Prevented),
    };
    connection.send_at_once();
    let meter = Meter::new(connection);
    match (target.scheme, &prepared.tls) {
        (Scheme::Https, Some(client)) => {
            let handshake = Box::pin(client.handshake(meter, &target.server_name, true, deadline));
            let (stream, _) = handshake.await;
            stream.map(Either::Right).map_err(|_| NotOpen::Failed)
        }
        _ => Ok(Either::Left(meter)),
    }
}
