//! The server of the demonstration.

/// The server of the demonstration. The addresses are URLs.
#[derive(Clone, Debug)]
pub struct Server {
    pub management: String,
    pub rooms: String,
    pub internal: String,
    /// Identifies this installation's room processes.
    pub installation: String,
}
