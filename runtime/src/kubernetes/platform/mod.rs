//! The objects of runtimes and versions beside their rooms (architecture 7, Objects of a runtime): the rights in a
//! namespace, its operator, its `Runtime`, a `ConfigMap` for each version with rooms, and the `Service` of the
//! published version. All are labelled as ours; an object of the same name without the label is refused and left
//! alone.

mod faults;
mod objects;
mod status;
mod writing;

use super::client::Calls;
use super::namespace::{Made, Namespaces, foreign_text};
use super::settings::PlatformSettings;
use async_trait::async_trait;
use faults::{NO_CRD, refused};
use maestro_core::domain::{OperationId, PlatformFault, SchedulerName};
use maestro_core::ports::{PlatformError, PlatformObjects, Prepared, RuntimeCondition, Shown};
use objects::Object;
use std::sync::Arc;
use writing::Writer;

use objects::configured;
pub use objects::{SERVICE, rights, runtime_resource, service};
pub use status::Report;
pub use writing::{as_read, change, is_another, is_ours, written};

/// Writes the objects, within the rate limit of all calls.
pub struct Platform {
    writer: Writer,
    namespaces: Namespaces,
    settings: PlatformSettings,
}

impl Platform {
    pub fn new(calls: Calls, namespaces: Namespaces, settings: PlatformSettings) -> Self {
        Self {
            writer: Writer::new(calls),
            namespaces,
            settings,
        }
    }

    /// The rights, the operator and the custom resource, in the order in which each needs the ones before.
    async fn keep_runtime(
        &self,
        name: &SchedulerName,
        shown: Option<&Shown>,
    ) -> Result<(), PlatformError> {
        for object in objects::rights() {
            self.writer.put(name, &object).await?;
        }
        let runtime = objects::runtime(name, shown, &self.settings);
        match (
            self.writer.put(name, &runtime).await,
            &self.settings.operator,
        ) {
            // The definition of runtimes is not installed, and nobody here reads them.
            (Err(error), None) if error.fault == PlatformFault::Invalid && error.text == NO_CRD => {
            }
            (written, _) => written?,
        }
        if let Some(operator) = &self.settings.operator {
            let deployment = objects::operator(operator, self.settings.development);
            self.writer.put(name, &deployment).await?;
        }
        Ok(())
    }

    async fn show_configs(&self, name: &SchedulerName, shown: &Shown) -> Result<(), PlatformError> {
        let wanted: Vec<Object> = shown.configs.iter().map(configured).collect();
        for object in &wanted {
            self.writer.put(name, object).await?;
        }
        let found = self.writer.names_of_configs(name).await?;
        for former in found {
            if !wanted.iter().any(|object| object.name == former) {
                self.writer.delete_config(name, &former).await?;
            }
        }
        Ok(())
    }

    async fn show_service(&self, name: &SchedulerName, shown: &Shown) -> Result<(), PlatformError> {
        match &shown.published {
            Some(published) => {
                let object = service(name.as_str(), published);
                self.writer.put(name, &object).await
            }
            None => self.writer.delete_service(name).await,
        }
    }
}

#[async_trait]
impl PlatformObjects for Platform {
    async fn ensure_runtime(
        &self,
        name: &SchedulerName,
        operation: OperationId,
    ) -> Result<Prepared, PlatformError> {
        let made = self.namespaces.made(name, Some(operation)).await;
        let created = match made.map_err(refused)? {
            Made::Ours { by_operation } => by_operation,
            Made::Foreign => {
                let text = foreign_text(name);
                return Err(PlatformError::new(PlatformFault::Foreign, text));
            }
            Made::Terminating(text) => {
                return Err(PlatformError::new(PlatformFault::Terminating, text));
            }
        };
        self.keep_runtime(name, None).await?;
        Ok(Prepared { created })
    }

    async fn runtime_status(
        &self,
        name: &SchedulerName,
    ) -> Result<Vec<RuntimeCondition>, PlatformError> {
        let mut conditions = vec![self.writer.namespace_condition(name).await?];
        for object in objects::rights() {
            let found = self.writer.get(name, &object).await?;
            conditions.push(status::presence(&object, found.as_ref()));
        }
        if let Some(operator) = &self.settings.operator {
            let deployment = objects::operator(operator, self.settings.development);
            let found = self.writer.get(name, &deployment).await?;
            conditions.push(status::readiness(&deployment, found.as_ref()));
        }
        Ok(conditions)
    }

    /// The `Runtime` comes before the `Service`: its operator restores the one as the other says.
    async fn show(&self, name: &SchedulerName, shown: Arc<Shown>) -> Result<(), PlatformError> {
        if shown.is_runtime {
            self.keep_runtime(name, Some(&shown)).await?;
        }
        self.show_configs(name, &shown).await?;
        self.show_service(name, &shown).await
    }
}
