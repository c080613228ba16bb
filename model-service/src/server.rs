//! A server's life: it serves until it is told to stop, says that it is not ready, then closes its port and lets open requests end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::front::Front;
use crate::listen::{self, Clients};

/// How long a server that is told to stop waits for its clients.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Between the signal and the closing of the port: `/readyz` says 503 while load balancers look away.
    pub notice: Duration,
    /// How long open requests may take after that.
    pub open: Duration,
}

/// Serve until `stop` ends, then drain: `draining` is set first.
pub(crate) async fn serve(
    listener: TcpListener,
    front: Front,
    clients: Clients,
    draining: Arc<AtomicBool>,
    drain: Drain,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let begun = Arc::clone(&draining);
    let stopping = async move {
        stop.await;
        begun.store(true, Ordering::Release);
        info!("draining");
        tokio::time::sleep(drain.notice).await;
        // Nobody waits any more only if the server has ended first.
        let _ = closing.send(());
    };
    let served = listen::serve(listener, front, clients, draining, stopping);
    let too_late = async {
        if closed.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(drain.open).await;
    };
    tokio::select! {
        () = served => Ok(()),
        () = too_late => {
            error!("requests still open after {:?} are cut", drain.open);
            Ok(())
        }
    }
}
