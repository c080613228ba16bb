//! Connecting to many hosts: jump hosts are shared, what may pass is tried again.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OnceCell};

use super::authentication::Keyring;
use super::connection::Connection;
use super::error::{Error, Result};
use super::target::{Route, Target};

/// How long to wait for a host that refuses, hangs up or does not answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// No attempt begins later than this after the first.
    pub limit: Duration,
}

impl Patience {
    /// For hosts that should be up: MaxStartups passes, a wrong port is told soon.
    pub const USUAL: Self = Self { limit: Duration::from_secs(3) };
    pub const NONE: Self = Self { limit: Duration::ZERO };

    pub fn up_to(limit: Duration) -> Self {
        Self { limit }
    }
}

/// Makes connections of one run.
#[derive(Clone, Default)]
pub struct Connector {
    keyring: Keyring,
    jumps: Arc<Mutex<HashMap<String, Arc<OnceCell<Connection>>>>>,
}

impl Connector {
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring, jumps: Arc::default() }
    }

    /// Connects; failures that may pass are tried again, from 100 ms to 2 s apart, until patience ends. The last error
    /// is returned, with the number of attempts if there were several.
    pub async fn connect(&self, target: &Target, patience: Patience) -> Result<Connection> {
        let start = Instant::now();
        let mut wait = Duration::from_millis(100);
        let mut attempts = 1;
        loop {
            match self.connect_once(target).await {
                Err(error) if error.may_pass() && start.elapsed() + wait < patience.limit => {
                    tracing::debug!(host = %target.name, %error, "not reached yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(2));
                    attempts += 1;
                }
                Err(error) if attempts > 1 => {
                    let message = format!("{} ({attempts} attempts in {:.0} s)", error.message, start.elapsed().as_secs_f32());
                    return Err(Error { message, ..error });
                }
                result => return result,
            }
        }
    }

    fn connect_once<'a>(&'a self, target: &'a Target) -> Pin<Box<dyn Future<Output = Result<Connection>> + Send + 'a>> {
        Box::pin(async move {
            let jump = match &target.route {
                Route::Jump(jump) => Some(self.jump(jump).await?),
                Route::Direct | Route::Command(_) => None,
            };
            Connection::open(target, jump, &self.keyring).await
        })
    }

    /// The one connection to a jump host, made by the first who needs it and again after it was lost.
    async fn jump(&self, target: &Target) -> Result<Connection> {
        let key = format!("{target:?}");
        let cell = {
            let mut jumps = self.jumps.lock().await;
            if jumps.get(&key).and_then(|cell| cell.get()).is_some_and(Connection::is_closed) {
                jumps.remove(&key);
            }
            Arc::clone(jumps.entry(key).or_default())
        };
        cell.get_or_try_init(|| self.connect_once(target)).await.cloned()
    }
}
