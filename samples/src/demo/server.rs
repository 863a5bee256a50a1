//! Where the demonstration is played.

/// The server that the demonstration is played on. The addresses are URLs.
#[derive(Clone, Debug)]
pub struct Server {
    pub management: String,
    pub rooms: String,
    pub internal: String,
    /// Marks this installation's room processes.
    pub installation: String,
}
