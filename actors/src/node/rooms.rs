//! What the runtime knows about rooms, without asking their owners.

use super::Node;
use crate::error::CallError;
use maestro_core::ports::{ContainerProcess, RuntimeError};
use maestro_core::state::{Refusal, RefusalKind};
use std::time::Duration;

/// Time limit for reading a log.
const LOG_MAX: Duration = Duration::from_secs(5);

impl Node {
    /// The processes of a room, if rooms are processes of this machine.
    pub fn room_processes(&self, scheduler: &str, room: &str) -> Vec<ContainerProcess> {
        self.parts
            .runtime
            .processes(&scheduler.into(), &room.into())
    }

    /// The last lines of a room's output, as far as its runtime keeps them.
    ///
    /// # Errors
    /// When there is no such room, or its output cannot be read.
    pub async fn log_tail(
        &self,
        scheduler: &str,
        room: &str,
        lines: usize,
    ) -> Result<Vec<String>, CallError> {
        let missing = || {
            let text = format!("room {room} of scheduler {scheduler} has no log here");
            CallError::from(Refusal::new(RefusalKind::NotFound, text))
        };
        let (runtime, name, id) = (self.parts.runtime.clone(), scheduler.into(), room.into());
        // Clients of a runtime must be used on the I/O runtime.
        let read = self.parts.tasks.spawn_on(
            async move {
                let read = runtime.log_tail(&name, &id, lines);
                tokio::time::timeout(LOG_MAX, read).await
            },
            &self.parts.io,
        );
        match read.await {
            Ok(Ok(Ok(lines))) => Ok(lines),
            Ok(Ok(Err(RuntimeError::NotFound))) => Err(missing()),
            Ok(Ok(Err(why))) => Err(Refusal::new(RefusalKind::Unavailable, why.to_string()).into()),
            Ok(Err(_)) | Err(_) => Err(CallError::Timeout(scheduler.to_owned())),
        }
    }
}
