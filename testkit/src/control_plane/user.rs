//! A client with the rights of a service account, and no others.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use super::connection::connect;

/// A service account with a token in a file, as a pod that runs as this account has it.
#[derive(Clone, Debug)]
pub struct User {
    pub(super) namespace: String,
    pub(super) account: String,
    pub(super) folder: PathBuf,
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
    pub(super) async fn renew(&self, by: &Client, seconds: i64) {
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
    pub(super) async fn ensure(&self, by: &Client) {
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
