//! Who is who in the control plane: certificates made by `openssl`, and the files that clients read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who writes as the harness: its kubelets and clean-ups, which the audit log leaves out.
pub(super) const HARNESS: &str = "maestro-test-harness";
/// Who tests and people are.
pub(super) const ADMIN: &str = "admin";

const DAYS: &str = "30";
/// The names under which clients reach the API server.
const SERVER_NAMES: &str = "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
                            DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,\
                            IP:127.0.0.1,IP:10.0.0.1";
/// File names and subjects.
const PEOPLE: &[(&str, &str)] = &[
    ("apiserver", "/CN=kube-apiserver"),
    (ADMIN, "/O=system:masters/CN=admin"),
    (HARNESS, "/O=system:masters/CN=maestro-test-harness"),
    ("controllers", "/CN=system:kube-controller-manager"),
    ("scheduler", "/CN=system:kube-scheduler"),
    (
        "kubelet-client",
        "/O=system:masters/CN=kube-apiserver-kubelet-client",
    ),
    ("front-proxy", "/CN=front-proxy-client"),
];

/// A folder of certificates.
#[derive(Debug)]
pub(super) struct Credentials(PathBuf);

impl Credentials {
    /// Makes all of them in this new folder.
    pub(super) fn make(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let curve = "ec_paramgen_curve:prime256v1";
        let new = ["req", "-x509", "-nodes", "-days", DAYS, "-newkey", "ec"];
        let new = [&new[..], &["-pkeyopt", curve]].concat();
        let files = ["-keyout", "ca.key", "-out", "ca.crt"];
        let usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature";
        let authority = ["-subj", "/CN=maestro-test-ca", "-addext", usage];
        openssl(&folder, &[&new[..], &files, &authority].concat());
        for (name, subject) in PEOPLE {
            let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
            let files = ["-keyout", &key, "-out", &cert, "-subj", subject];
            let by = ["-CA", "ca.crt", "-CAkey", "ca.key"];
            let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
            let usage = ["-addext", "extendedKeyUsage=clientAuth,serverAuth"];
            let names = ["-addext", SERVER_NAMES];
            let names = if *name == "apiserver" {
                &names[..]
            } else {
                &[]
            };
            openssl(
                &folder,
                &[&new[..], &files, &by, &leaf, &usage, names].concat(),
            );
        }
        let key = ["genpkey", "-algorithm", "EC", "-out", "sa.key"];
        openssl(&folder, &[&key[..], &["-pkeyopt", curve]].concat());
        let public = ["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"];
        openssl(&folder, &public);
        Self(folder)
    }

    /// A file of them.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a kubeconfig for one of them.
    pub(super) fn kubeconfig(&self, server: &str, name: &str) -> PathBuf {
        let key = |end: &str| self.file(&format!("{name}.{end}"));
        let user = format!(
            "client-certificate: {}, client-key: {}",
            key("crt").display(),
            key("key").display()
        );
        let file = self.file(&format!("{name}.kubeconfig"));
        let authority = self.file("ca.crt").display().to_string();
        let authority = format!("certificate-authority: {authority}");
        write_kubeconfig(&file, server, Some(&authority), &user);
        file
    }
}

/// Writes a kubeconfig. `authority` and `user` are YAML: how the server is known, and who the client is.
pub(super) fn write_kubeconfig(file: &Path, server: &str, authority: Option<&str>, user: &str) {
    let authority = authority.map_or_else(String::new, |authority| format!(", {authority}"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"{server}\"{authority}}}}}]\n\
         users: [{{name: test, user: {{{user}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n"
    );
    fs::write(file, text).expect("a file");
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
