//! Certificates for tests, made by `openssl`, as docs/cluster.md says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What `openssl ca` needs beside its arguments: it can date certificates back.
const CA: &str = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n\
                  policy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n";

/// A private authority, in a folder of its own that ends with it.
pub struct Authority(TempDir);

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct Signed {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// `None` where `openssl` is missing, which is said.
    ///
    /// # Panics
    /// When it is missing in CI, or fails.
    pub fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "openssl is missing");
            eprintln!("SKIPPED: openssl is missing; type: sudo apt-get install openssl");
            return None;
        }
        let authority = Self(TempDir::new().expect("a folder"));
        authority.make("authority", &["-x509", "-days", "2"]);
        Some(authority)
    }

    /// The certificate of the authority itself.
    pub fn ca(&self) -> PathBuf {
        self.0.path().join("authority.pem")
    }

    /// A certificate for this DNS name, that is valid now. `file` is its name here.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn sign(&self, file: &str, dns: &str) -> Signed {
        let name = format!("subjectAltName=DNS:{dns}");
        let by = ["-x509", "-days", "2", "-CA", "authority.pem"];
        let more = ["-CAkey", "authority.key", "-addext", &name];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        self.make(file, &[&by[..], &more, &leaf].concat())
    }

    /// One that was valid once.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn expired(&self, file: &str, dns: &str) -> Signed {
        let name = format!("subjectAltName=DNS:{dns}");
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let signed = self.make(file, &[&["-addext", &name][..], &leaf].concat());
        let folder = self.0.path();
        fs::write(folder.join("ca.cnf"), CA).expect("a file");
        fs::write(folder.join("index.txt"), "").expect("a file");
        let request = format!("{file}.csr");
        fs::rename(&signed.cert, folder.join(&request)).expect("a request");
        let ca = ["ca", "-batch", "-config", "ca.cnf", "-notext"];
        let by = ["-cert", "authority.pem", "-keyfile", "authority.key"];
        let then = [
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20200102000000Z",
        ];
        let out = format!("{file}.pem");
        let files = ["-in", &request, "-out", &out];
        openssl(folder, &[&ca[..], &by, &then, &files].concat());
        signed
    }

    fn make(&self, file: &str, more: &[&str]) -> Signed {
        let (cert, key) = (format!("{file}.pem"), format!("{file}.key"));
        let folder = self.0.path();
        // One authority is told from another by its name.
        let place = folder.file_name().unwrap_or_default().to_string_lossy();
        let subject = format!("/CN={file} of {place}");
        let new = [
            "req",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ];
        let files = ["-keyout", &key, "-out", &cert, "-subj", &subject];
        openssl(folder, &[&new[..], &files, more].concat());
        Signed {
            cert: folder.join(cert),
            key: folder.join(key),
        }
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("openssl runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {words}");
}
