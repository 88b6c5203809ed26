//! What the settings allow: the whole relay, and each gateway.

use std::num::NonZeroU32;
use std::time::Duration;

use super::backoff::Backoff;
use crate::settings::Rate;

/// What holds whatever the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Age at which a message is given up.
    pub queue_lifetime: Duration,
    /// Pauses of a deferred message.
    pub deferred: Backoff,
    /// Pauses of a message that may have been delivered.
    pub uncertain: Backoff,
}

impl Default for Limits {
    /// 5 days; 5 min to 1 h; 15 min to 4 h.
    fn default() -> Self {
        Self {
            queue_lifetime: Duration::from_secs(5 * 24 * 3600),
            deferred: Backoff::secs(5 * 60, 3600),
            uncertain: Backoff::secs(15 * 60, 4 * 3600),
        }
    }
}

/// What one gateway allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Most sessions open or opening at any time; 0 counts as 1.
    pub max_connections: u32,
    /// How long a session without work stays open for the next message.
    pub idle_close: Duration,
    /// Most transactions on one session; `None`: any number.
    pub max_messages_per_connection: Option<NonZeroU32>,
    /// How fast mail may be sent; `None`: as fast as the gateway takes it.
    pub rate: Option<Rate>,
    /// How long it is down before mail goes through the next gateway of its route.
    pub fallback_after: Duration,
}

impl Default for GatewayLimits {
    /// 4 connections, 5 s, 5 min and nothing else: as the settings' own defaults.
    fn default() -> Self {
        Self {
            max_connections: 4,
            idle_close: Duration::from_secs(5),
            max_messages_per_connection: None,
            rate: None,
            fallback_after: Duration::from_secs(5 * 60),
        }
    }
}
