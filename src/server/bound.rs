//! Listeners of our own: bound at start, so that a taken port is told at once, and used once the runtime is there.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::error;

/// Pause before a port that the old process still holds is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// A listener for a background service.
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
}

impl Bound {
    /// Binds now; when taking over from a running process, as soon as that one lets go.
    pub(super) fn new(address: SocketAddr, upgrade: bool) -> Result<Self, String> {
        let listener = if upgrade { None } else { Some(bind(address)?) };
        Ok(Self { address, listener: Mutex::new(listener) })
    }

    /// The listener, for the runtime that calls.
    pub(super) async fn listen(&self) -> Option<tokio::net::TcpListener> {
        let bound = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = match bound {
            Some(listener) => listener,
            None => loop {
                match bind(self.address) {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            },
        };
        let lost = |error: &std::io::Error| error!("the listener on {} is lost: {error}", self.address);
        tokio::net::TcpListener::from_std(listener).inspect_err(lost).ok()
    }
}

/// Binds, or says in a sentence why that cannot be.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let failed = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
