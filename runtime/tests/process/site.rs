//! Its own data folder and installation; at the end no process may be left.

use maestro_core::{domain::*, ports::*};
use maestro_runtime::process::{ProcessRuntime, ProcessSettings, RoomProcess, room_processes};
use maestro_testkit::contract::runtime::{Harness, Stage};
use parking_lot::Mutex;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub struct Site {
    pub folder: tempfile::TempDir,
    pub settings: ProcessSettings,
    runtime: Mutex<Option<Arc<ProcessRuntime>>>,
}

impl Site {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ProcessSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let installation = uuid::Uuid::new_v4().to_string();
        let mut settings = ProcessSettings::new(folder.path(), installation);
        change(&mut settings);
        let site = Self {
            folder,
            settings,
            runtime: Mutex::new(None),
        };
        site.open();
        site
    }

    pub fn open(&self) -> Arc<ProcessRuntime> {
        let runtime = ProcessRuntime::open(self.settings.clone()).unwrap();
        self.put(runtime.clone());
        runtime
    }

    pub fn current(&self) -> Arc<ProcessRuntime> {
        self.runtime.lock().clone().expect("an open runtime")
    }

    pub fn put(&self, runtime: Arc<ProcessRuntime>) {
        *self.runtime.lock() = Some(runtime);
    }

    /// Drops the runtime without a shutdown.
    pub fn forget(&self) {
        self.runtime.lock().take();
    }

    /// As if the orchestrator had ended.
    pub async fn close(&self) {
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            runtime.shutdown().await;
        }
    }

    pub async fn stage(&self, scheduler: Scheduler) -> Stage {
        Stage::set(self, scheduler).await
    }

    pub fn room_folder(&self, scheduler: &str, room: &str) -> PathBuf {
        self.folder.path().join("rooms").join(scheduler).join(room)
    }

    /// Found by its name, since its place has changed.
    pub fn log_path(&self, scheduler: &str, room: &str, container: &str) -> PathBuf {
        let name = format!("{container}.log");
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else if path.file_name() == Some(name.as_ref())
                    && path.components().any(|part| part.as_os_str() == room)
                    && path.components().any(|part| part.as_os_str() == scheduler)
                {
                    return path;
                }
            }
        }
        panic!("no log of {scheduler}/{room}");
    }

    pub fn record(&self, scheduler: &str, room: &str) -> serde_json::Value {
        let path = self.room_folder(scheduler, room).join("room.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    pub fn change_record(
        &self,
        scheduler: &str,
        room: &str,
        change: impl FnOnce(&mut serde_json::Value),
    ) {
        let mut record = self.record(scheduler, room);
        change(&mut record);
        let path = self.room_folder(scheduler, room).join("room.json");
        fs::write(path, record.to_string()).unwrap();
    }

    pub fn pid(&self, scheduler: &str, room: &str) -> i64 {
        self.record(scheduler, room)["processes"][0]["pid"]
            .as_i64()
            .unwrap()
    }

    pub fn processes(&self) -> Vec<RoomProcess> {
        room_processes(&self.settings.installation).unwrap()
    }

    /// Where the room works.
    pub fn work(&self, scheduler: &str, room: &str) -> PathBuf {
        self.room_folder(scheduler, room).join("work")
    }

    /// What the room's shell wrote into its folder.
    pub async fn note(&self, scheduler: &str, room: &str, name: &str) -> String {
        whole(&self.work(scheduler, room).join(name)).await
    }

    /// What a container has written.
    pub async fn log(&self, scheduler: &str, room: &str, container: &str) -> String {
        let name = format!("{container}.log");
        whole(&self.room_folder(scheduler, room).join(name)).await
    }
}

impl Harness for Site {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.current()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let left = self.processes();
        for process in &left {
            let pid = rustix::process::Pid::from_raw(process.pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes are left: {left:?}");
        }
    }
}

async fn whole(path: &Path) -> String {
    eventually(&path.display().to_string(), || {
        fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
    .await
}

/// Waits for a level.
pub async fn eventually<T>(what: &str, mut level: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut look = tokio::time::interval(Duration::from_millis(5));
    loop {
        look.tick().await;
        if let Some(found) = level() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
    }
}
