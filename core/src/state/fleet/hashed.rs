//! The hash map of the state machine.

use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Its order is the same in every run, because decisions about equal rooms follow it, and a run must be repeatable. The
/// keys are Maestro's own, so its hash needs no resistance to chosen ones.
pub(super) type Hashed<K, V> = HashMap<K, V, FixedState>;
