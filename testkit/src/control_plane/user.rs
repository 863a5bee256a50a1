//! A client with the rights of a service account, and no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};

use super::connection::connect;
use super::{ControlPlane, credentials};

/// How long the tokens of service accounts are valid, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// A service account with a token in a file, as a pod that runs as this account has it.
#[derive(Clone, Debug)]
pub struct User {
    namespace: String,
    account: String,
    folder: PathBuf,
}

impl User {
    /// A new client.
    pub async fn client(&self) -> Client {
        connect(&self.kubeconfig()).await
    }

    /// A kubeconfig that names the file of the token.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The folder with `token`, `ca.crt` and `namespace`, as pods have it below `/var/run/secrets/kubernetes.io`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of the token, to be read again when it is old.
    pub fn token(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// As the audit log and role bindings name it.
    pub fn name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }

    /// Puts a new token into its file, as a kubelet does. It is valid for `seconds`: 600 are the least.
    ///
    /// # Panics
    /// If the API server gives none.
    async fn renew(&self, by: &Client, seconds: i64) {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: Vec::new(),
                expiration_seconds: Some(seconds),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(by.clone(), &self.namespace);
        let (name, by_default) = (&self.account, PostParams::default());
        let answer = accounts.create_token_request(name, &by_default, &request);
        let answer = answer.await.expect("an answer");
        let token = answer.status.expect("a token").token;
        // Readers never see half of it.
        let new = self.folder.join("new-token");
        fs::write(&new, token).expect("a file");
        fs::rename(&new, self.token()).expect("a file");
    }

    /// The account exists then.
    async fn ensure(&self, by: &Client) {
        let accounts: Api<ServiceAccount> = Api::namespaced(by.clone(), &self.namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(self.account.clone()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        if accounts
            .get_opt(&self.account)
            .await
            .expect("an answer")
            .is_none()
        {
            let created = accounts.create(&PostParams::default(), &account).await;
            created.expect("a service account");
        }
    }
}

impl ControlPlane {
    /// A service account of an existing namespace, made if it does not exist, with a token for an hour.
    ///
    /// # Panics
    /// If the API server refuses.
    pub async fn user(&self, namespace: &str, account: &str) -> User {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let folder = self.files.join(number.to_string());
        fs::create_dir(&folder).unwrap();
        let user = User {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            folder,
        };
        let client = self.harness().await;
        user.ensure(&client).await;
        user.renew(&client, TOKEN_SECONDS).await;
        self.write_kubeconfig(&user);
        user
    }

    /// Puts another token into the user's file, valid for so many seconds (600 are the least).
    ///
    /// # Panics
    /// If the API server refuses.
    pub async fn renew_token(&self, user: &User, seconds: i64) {
        user.renew(&self.harness().await, seconds).await;
    }

    fn write_kubeconfig(&self, user: &User) {
        let config = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let context = config.current_context.unwrap_or_default();
        let context = config
            .contexts
            .into_iter()
            .find(|named| named.name == context);
        let name = context.and_then(|named| named.context).unwrap().cluster;
        let cluster = config.clusters.into_iter().find(|named| named.name == name);
        let cluster = cluster.and_then(|named| named.cluster).unwrap();
        let file = cluster
            .certificate_authority
            .map(|file| fs::read(file).unwrap());
        let data = cluster.certificate_authority_data.map(|data| {
            let decoded: ByteString = serde_json::from_value(data.into()).unwrap();
            decoded.0
        });
        let authority = file.or(data).unwrap();
        let file = user.folder().join("ca.crt");
        fs::write(&file, authority).unwrap();
        fs::write(user.folder().join("namespace"), &user.namespace).unwrap();
        let authority = format!("certificate-authority: {}", file.display());
        let token = format!("tokenFile: {}", user.token().display());
        let server = cluster.server.unwrap();
        credentials::write_kubeconfig(&user.kubeconfig(), &server, Some(&authority), &token);
    }
}
