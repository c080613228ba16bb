//! The machine this process runs on, read by system calls, /proc and files; programs only where nothing else knows.

mod accounts;
mod archive;
mod checkout;
mod facts;
mod files;
mod kernel;
mod network;
mod packages;
pub mod python;
mod services;
mod units;
mod zip;

pub(in crate::system) use files::flags;
pub(in crate::system) use kernel::{boot_id, sysctl_path};
pub(in crate::system) use units::forget as forget_units;
pub(in crate::system) use units::forget;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::apply::Cancel;
use super::{
    Access, Acl, Digest, Error, FactRequest, Group, KernelModule, Metadata, Package, Result, Shadow, System, Unit, UnitScope, User,
};
use crate::program::{Bytes, Map};

/// This machine, as the user of this process sees it.
#[derive(Clone, Debug, Default)]
pub struct Real {
    cancel: Cancel,
}

impl Real {
    /// `cancel` ends waits.
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel }
    }

    /// The bytes of a file from there on; fewer than asked for end it.
    pub fn part(&self, path: &Path, offset: u64, count: u64) -> Result<Bytes> {
        files::part(path, offset, count).map(|bytes| Bytes(bytes.into()))
    }
}

impl System for Real {
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>> {
        files::metadata(path)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        files::read(path)
    }

    fn digest(&self, path: &Path, algorithm: Digest) -> Result<Option<String>> {
        files::digest(path, algorithm)
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>> {
        files::read_link(path)
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>> {
        files::list(path)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        files::canonical(path)
    }

    fn access(&self, path: &Path) -> Result<Access> {
        files::access(path)
    }

    fn attributes(&self, path: &Path) -> Result<String> {
        files::attributes(path)
    }

    fn acl(&self, path: &Path) -> Result<Acl> {
        files::acl(path)
    }

    fn generation(&self, path: &Path) -> Result<Option<u64>> {
        files::generation(path)
    }

    fn security_context(&self, path: &Path) -> Result<Option<String>> {
        files::security_context(path)
    }

    fn mime(&self, path: &Path) -> Result<Option<(String, String)>> {
        files::mime(path)
    }

    fn archive(&self, question: &super::archive::Question) -> Result<super::archive::Archive> {
        archive::archive(question)
    }

    fn checkout(&self, question: &super::checkout::Question) -> Result<super::checkout::Checkout> {
        checkout::checkout(question)
    }

    fn user(&self, name_or_uid: &str) -> Result<Option<User>> {
        accounts::user(name_or_uid)
    }

    fn group(&self, name_or_gid: &str) -> Result<Option<Group>> {
        accounts::group(name_or_gid)
    }

    fn users(&self) -> Result<Vec<User>> {
        accounts::users()
    }

    fn groups(&self) -> Result<Vec<Group>> {
        accounts::groups()
    }

    fn shadow(&self, name: &str) -> Result<Option<Shadow>> {
        accounts::shadow(name)
    }

    fn name_service(&self, database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)> {
        accounts::name_service(database, key, service)
    }

    fn whoami(&self) -> Result<User> {
        accounts::whoami()
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn executable(&self, name: &str) -> Result<Option<PathBuf>> {
        Ok(files::executable(name))
    }

    fn kernel_hostname(&self) -> Result<String> {
        kernel::hostname()
    }

    fn sysctl(&self, name: &str) -> Result<Option<String>> {
        kernel::sysctl(name)
    }

    fn kernel_module(&self, name: &str) -> Result<KernelModule> {
        kernel::module(name)
    }

    fn package(&self, name: &str) -> Result<Option<Package>> {
        packages::package(name)
    }

    fn package_candidate(&self, name: &str) -> Result<Option<String>> {
        packages::candidate(name, None)
    }

    fn package_candidate_of(&self, name: &str, release: &str) -> Result<Option<String>> {
        packages::candidate(name, Some(release))
    }

    fn package_versions(&self, name: &str) -> Result<Vec<String>> {
        packages::versions(name)
    }

    fn package_names(&self) -> Result<Vec<String>> {
        packages::names()
    }

    fn inventory(&self) -> Result<Map> {
        packages::inventory()
    }

    fn package_providers(&self, name: &str) -> Result<Vec<String>> {
        packages::providers(name)
    }

    fn package_is_virtual(&self, name: &str) -> Result<bool> {
        packages::is_virtual(name)
    }

    fn package_residue(&self, name: &str) -> Result<bool> {
        packages::residue(name)
    }

    fn expect_candidates(&self, names: &[&str], release: Option<&str>) -> Result<()> {
        packages::expect(names, release)
    }

    fn upgradable(&self, dist: bool) -> Result<Vec<String>> {
        packages::upgradable(dist)
    }

    fn unit(&self, name: &str, scope: UnitScope) -> Result<Unit> {
        units::unit(name, scope)
    }

    fn init(&self) -> Result<String> {
        units::init()
    }

    fn connects(&self, host: &str, port: u16, timeout: Duration) -> Result<bool> {
        network::connects(host, port, timeout)
    }

    fn port_says(&self, host: &str, port: u16, pattern: &str, timeout: Duration) -> Result<bool> {
        network::port_says(host, port, pattern, timeout)
    }

    fn connections(&self, host: &str, port: u16) -> Result<Vec<String>> {
        network::connections(host, port)
    }

    fn boot_id(&self) -> Result<String> {
        kernel::boot_id()
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        loop {
            if self.cancel.waits_are_over() {
                return Err(Error::interrupted("waiting was cancelled"));
            }
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(Duration::from_millis(50))),
                _ => return Ok(()),
            }
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn services(&self) -> Result<Map> {
        services::services(&self.init()?)
    }

    fn facts(&self, request: &FactRequest) -> Result<Map> {
        facts::facts(request)
    }
}
