//! A terminal for a program: its output, and its size.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

pub struct Terminal {
    controller: File,
    path: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn new(columns: u16, rows: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let controller = controller.expect("a terminal");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it opens");
        let path = ptsname(&controller, Vec::new()).expect("a name");
        let controller = File::from(controller);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, into) = (controller.try_clone().expect("a descriptor"), seen.clone());
        // The thread ends when nobody has the terminal open any more.
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = reading.read(&mut some) {
                into.lock().expect("whole").extend(&some[..n]);
            }
        });
        let terminal = Self {
            controller,
            path: path.into_string().expect("a text"),
            seen,
        };
        terminal.resize(columns, rows);
        terminal
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.controller, size).expect("another size");
    }

    /// For stdout or stderr of a program.
    pub fn stdio(&self) -> Stdio {
        let opened = File::options().read(true).write(true).open(&self.path);
        opened.expect("the program's end").into()
    }

    /// The whole output so far, with the line ends of the program.
    pub fn seen(&self) -> String {
        let seen = self.seen.lock().expect("whole");
        String::from_utf8_lossy(&seen).replace("\r\n", "\n")
    }
}
