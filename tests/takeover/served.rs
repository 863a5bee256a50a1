//! What the recorded installation looks like once it has been taken over.

/// Rooms whose status shows that a take-over knew what they were in the middle of: scheduler, room, and its status in
/// Redis (contract 8.2).
pub const SERVED: [(&str, &str, &str); 5] = [
    ("arena-eu", "arena-eu-52jhv", "3"),
    ("arena-eu", "arena-eu-gc8g9", "8"),
    ("lobby", "lobby-6wh4w", "7"),
    ("lobby", "lobby-4mhkr", "8"),
    ("raid", "raid-c9z74", "8"),
];
