//! The export of a fleet to Kubernetes: a `Deployment` for each set of labels that jobs need, and one without any.
//!
//! A `Deployment`, and no `StatefulSet`: the machines keep nothing that another one would need, a pod of a lost node is
//! replaced at once, and a new name has no lease to wait for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use super::{Exported, quote::yaml};
use crate::{
    error::{Error, Result},
    observe::visible::visible,
    schedule::jobs::{Jobs, TaskKind},
};

/// The largest `ConfigMap` that an API server takes, in bytes of its values.
const CONFIG_MAP_BYTES_MAX: usize = 1024 * 1024;
/// The longest name of a `Deployment`: those of its pods, which are longer by 17 characters, are values of labels.
const NAME_CHARS_MAX: usize = 46;
/// The longest part of a label in Kubernetes: the name in its key, or its value.
const LABEL_CHARS_MAX: usize = 63;
/// The time that a machine has to give back its runs and to leave, beside the longest `kill_grace`.
const LEAVE_TIME: Duration = Duration::from_secs(30);
/// The memory of the scheduler itself, and of a run, in MiB.
const MEMORY: (u32, u32) = (256, 128);
/// The memory of a jobs file for each job, twice while it is read again, in KiB.
const JOB_MEMORY: u32 = 16;
/// The directory of the jobs file in a pod. Relative local paths count from it, so that it is a copy that can be written.
const FOLDER: &str = "/srv/portolan";

/// A file for the machines.
#[derive(Debug, Clone)]
pub struct FleetFile {
    /// The path, relative to the directory of the jobs file.
    pub path: PathBuf,
    /// The contents.
    pub text: String,
    /// True for a program.
    pub is_program: bool,
}

/// The files that all machines get.
#[derive(Debug, Clone)]
pub struct FleetFiles {
    /// The files, the jobs file first.
    pub all: Vec<FleetFile>,
    /// The hash of all of them.
    pub digest: String,
    /// The files with absolute paths elsewhere.
    pub elsewhere: Vec<PathBuf>,
}

/// The fleet as it is wanted.
#[derive(Debug, Clone)]
pub struct FleetSetting {
    /// The image.
    pub image: String,
    /// The number of pods of each `Deployment`.
    pub replicas: u32,
    /// The number of runs at a time in each pod; `max_running` of the jobs file without it.
    pub workers: Option<u32>,
    /// The files that all machines get; `None` if they run what is published.
    pub files: Option<FleetFiles>,
}

/// Returns a `ConfigMap` with the files and a `Deployment` for each set of labels. Fails with `invalid` for what a cluster
/// would refuse.
pub fn kubernetes_fleet(jobs: &Jobs, setting: &FleetSetting) -> Result<Exported> {
    let mut out = Exported::default();
    let needed: BTreeSet<_> = jobs.all.iter().map(|job| &job.needs).collect();
    let none = BTreeMap::new();
    let sets = std::iter::once(&none).chain(needed.into_iter().filter(|set| !set.is_empty()));
    let mut parts = Vec::new();
    if let Some(files) = &setting.files {
        parts.push(config_map(&files.all)?);
        let elsewhere = files.elsewhere.iter().map(|path| visible(path.display().to_string()));
        out.notes.extend(elsewhere.map(|path| format!("the image must have {path}")));
    }
    let mut names = BTreeSet::new();
    for labels in sets {
        for (key, value) in labels {
            check_label(key, value)?;
        }
        let name = name(labels, &mut names);
        if !labels.is_empty() {
            let pairs: Vec<_> = pairs(labels).collect();
            out.notes.push(format!(
                "the pods of `{name}` are placed on nodes with the labels of their machines: `kubectl label node NODE {}`",
                pairs.join(" ")
            ));
        }
        parts.push(deployment(&name, labels, jobs, setting));
    }
    out.losses.push(
        "the logs of runs and the records of mirrors end with each pod: its state is in an emptyDir".to_owned(),
    );
    let is_local = |kind: TaskKind| kind != TaskKind::Prune;
    let local = jobs.all.iter().filter(|job| job.task.as_ref().is_some_and(|it| is_local(it.kind)));
    out.losses.extend(local.map(|job| {
        format!(
            "`{}`: local directories with relative paths are in an emptyDir, and end with each pod",
            job.name
        )
    }));
    let is_published = setting.files.is_none();
    if is_published {
        out.notes.push("the pods wait until `portolan publish` has published a release".to_owned());
    }
    out.text = format!("{}{}", heading(is_published), parts.join("---\n"));
    Ok(out)
}

/// Returns the comment at the top of the manifest: what it needs, and how it is applied.
fn heading(is_published: bool) -> String {
    let flag = if is_published { " --published" } else { "" };
    format!(
        "# kubectl create secret generic portolan-store --from-file=url=FILE --from-file=password=FILE
#     the address of the database, such as postgres://portolan@db.example.com/portolan, and its password, without line ends
# kubectl create secret generic portolan-secrets --from-file=NAME=FILE
#     the secrets that jobs name; each file is one secret
# portolan export kubernetes --fleet{flag} | kubectl apply --server-side -f -
"
    )
}

fn pairs(labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    labels.iter().map(|(key, value)| format!("{key}={value}"))
}

/// Fails for a label that no node can have.
fn check_label(key: &str, value: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |text: &str| {
        let ends = [text.chars().next(), text.chars().last()];
        (1..=LABEL_CHARS_MAX).contains(&text.len())
            && text.chars().all(is_plain)
            && ends.iter().flatten().all(char::is_ascii_alphanumeric)
    };
    let is_domain = |text: &str| {
        let is_lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        text.split('.').all(|part| is_part(part) && part.chars().all(is_lower))
    };
    let (domain, name) = key.rsplit_once('/').map_or((None, key), |(a, b)| (Some(a), b));
    let is_reserved = |domain: &str| {
        ["kubernetes.io", "k8s.io"].iter().any(|end| {
            domain.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    };
    // Labels of nodes such as `kubernetes.io/arch` are Kubernetes' own, and good ones to need.
    let is_key =
        is_part(name) && domain.is_none_or(|domain| is_domain(domain) || is_reserved(domain));
    if is_key && is_part(value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`needs`: a node in Kubernetes cannot have the label `{}={}`: each part begins and ends with a letter or digit, and \
         one `/` at most follows a domain in the key",
        visible(key),
        visible(value)
    )))
}

/// Returns the name of a `Deployment`; of two that become the same, one gets a number.
fn name(labels: &BTreeMap<String, String>, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words = labels.iter().flat_map(|(key, value)| [key, value]);
    let words = std::iter::once("portolan").chain(words.map(String::as_str));
    let whole: String = words.collect::<Vec<_>>().join("-").chars().map(plain).collect();
    let cut = |end: &str| {
        let room = NAME_CHARS_MAX.saturating_sub(end.len()).min(whole.len());
        format!("{}{end}", whole.get(..room).unwrap_or(&whole).trim_end_matches('-'))
    };
    let numbered = (2..).map(|number| cut(&format!("-{number}")));
    let free = std::iter::once(cut("")).chain(numbered).find(|name| taken.insert(name.clone()));
    free.unwrap_or_else(|| cut(""))
}

/// Returns the `ConfigMap` with the files, whose keys stand for their paths.
fn config_map(files: &[FleetFile]) -> Result<String> {
    let keys = keys(files);
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > CONFIG_MAP_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the jobs file and its scripts have {bytes} bytes, and a ConfigMap takes {CONFIG_MAP_BYTES_MAX}: put the scripts \
             into the image and name them by absolute paths, or use `portolan publish` and `--published`"
        )));
    }
    let datum =
        |(key, file): (String, &FleetFile)| format!("  {}: {}\n", yaml(&key), yaml(&file.text));
    let data: String = keys.into_iter().zip(files).map(datum).collect();
    Ok(format!(
        "apiVersion: v1
kind: ConfigMap
metadata:
  name: portolan
  labels: {{app.kubernetes.io/name: portolan}}
data:
{data}"
    ))
}

/// Returns a key for each file: its path in the characters that keys have.
fn keys(files: &[FleetFile]) -> Vec<String> {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let mut taken = BTreeSet::new();
    let key = |(number, file): (usize, &FleetFile)| {
        let text: String = file.path.display().to_string().chars().map(plain).collect();
        // The longest key has 253 characters, and none is `..` or begins so.
        let key = text
            .trim_start_matches('.')
            .get(..200)
            .map_or_else(|| text.trim_start_matches('.').to_owned(), str::to_owned);
        let key =
            if key.is_empty() || taken.contains(&key) { format!("{number}-{key}") } else { key };
        taken.insert(key.clone());
        key
    };
    files.iter().enumerate().map(key).collect()
}

/// Returns the volume of the files, each at its path.
fn items(files: &[FleetFile]) -> String {
    let item = |(key, file): (String, &FleetFile)| {
        let path = file.path.display().to_string();
        let mode = if file.is_program { ", mode: 0755" } else { "" };
        format!("              - {{key: {}, path: {}{mode}}}\n", yaml(&key), yaml(&path))
    };
    let items: String = keys(files).into_iter().zip(files).map(item).collect();
    format!(
        "        - name: jobs
          configMap:
            name: portolan
            items:
{items}"
    )
}

fn deployment(
    name: &str,
    labels: &BTreeMap<String, String>,
    jobs: &Jobs,
    setting: &FleetSetting,
) -> String {
    let files = setting.files.as_ref();
    let file = files.and_then(|files| files.all.first());
    let file = file.map(|file| format!("{FOLDER}/{}", file.path.display()));
    let mut args = vec!["serve".to_owned()];
    match file {
        Some(file) => args.extend(["--jobs".to_owned(), file]),
        None => args.push("--published".to_owned()),
    }
    args.extend(["--state", "/var/lib/portolan", "--name", "$(POD_NAME)"].map(str::to_owned));
    args.extend(["--metrics", "0.0.0.0:9464"].map(str::to_owned));
    if let Some(workers) = setting.workers {
        args.extend(["--workers".to_owned(), workers.to_string()]);
    }
    args.extend(pairs(labels).flat_map(|pair| ["--label".to_owned(), pair]));
    // `$(NAME)` in an argument is a variable: those of paths are none.
    let args: Vec<_> = args
        .iter()
        .map(|arg| if arg == "$(POD_NAME)" { yaml(arg) } else { yaml(&arg.replace('$', "$$")) })
        .collect();
    let selector =
        labels.iter().map(|(key, value)| format!("        {}: {}\n", yaml(key), yaml(value)));
    let selector = selector.collect::<Vec<_>>().concat();
    let selector =
        if selector.is_empty() { selector } else { format!("      nodeSelector:\n{selector}") };
    let grace = jobs.all.iter().map(|job| job.timeouts.kill_grace).max().unwrap_or_default();
    let grace = grace.saturating_add(LEAVE_TIME).as_secs();
    let runs = setting.workers.unwrap_or(jobs.runner.max_running);
    let (base, each) = MEMORY;
    let count = u32::try_from(jobs.all.len()).unwrap_or(u32::MAX);
    let base = base.saturating_add(count.saturating_mul(JOB_MEMORY) / 1024);
    let memory = base.saturating_add(each.saturating_mul(runs));
    // Pods are replaced when it changes.
    let digest = files.map_or_else(String::new, |files| {
        format!("      annotations: {{portolan/files: {}}}\n", yaml(&files.digest))
    });
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: portolan, app.kubernetes.io/component: {name}}}
spec:
  replicas: {}
  selector:
    matchLabels: {{app.kubernetes.io/name: portolan, app.kubernetes.io/component: {name}}}
  template:
    metadata:
      labels: {{app.kubernetes.io/name: portolan, app.kubernetes.io/component: {name}}}
{digest}    spec:
{selector}      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{app.kubernetes.io/name: portolan, app.kubernetes.io/component: {name}}}
      automountServiceAccountToken: false
      enableServiceLinks: false
      # The longest `kill_grace`, and {} s to give back what has not ended.
      terminationGracePeriodSeconds: {grace}
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        fsGroup: 1000
        seccompProfile: {{type: RuntimeDefault}}
{}{}{}",
        setting.replicas,
        LEAVE_TIME.as_secs(),
        containers(&yaml(&setting.image), &args.join(", "), memory, base, files.is_some()),
        SCRATCH,
        files.map_or_else(String::new, |files| items(&files.all)),
    )
}

/// The container, and the one that makes the state directory: everybody may write an emptyDir, and by its mode the volume
/// of a `ConfigMap`, and the scheduler wants directories that only it can write. So the files are copied.
fn containers(image: &str, args: &str, memory: u32, request: u32, has_files: bool) -> String {
    let (command, from, to) = if has_files {
        let to = format!("            - {{name: state, mountPath: {FOLDER}, subPath: jobs}}\n");
        (COPY, "            - {name: jobs, mountPath: /etc/portolan, readOnly: true}\n", to)
    } else {
        (MAKE, "", String::new())
    };
    format!(
        "      initContainers:
        - name: state
          image: {image}
          command: {command}
          resources:
            requests: {{cpu: 10m, memory: 16Mi}}
            limits: {{memory: 16Mi}}
{SECURITY}          volumeMounts:
{from}            - {{name: state, mountPath: /volume}}
      containers:
        - name: portolan
          image: {image}
          args: [{args}]
          env:
            - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
            - {{name: PORTOLAN_STORE, valueFrom: {{secretKeyRef: {{name: portolan-store, key: url}}}}}}
            - {{name: PGPASSWORD, valueFrom: {{secretKeyRef: {{name: portolan-store, key: password}}}}}}
            - {{name: CREDENTIALS_DIRECTORY, value: /run/portolan/secrets}}
          ports:
            - {{name: metrics, containerPort: 9464}}
          startupProbe:
            httpGet: {{path: /healthz, port: metrics}}
            periodSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {{path: /healthz, port: metrics}}
            periodSeconds: 10
          livenessProbe:
            httpGet: {{path: /healthz, port: metrics}}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 3
          resources:
            requests: {{cpu: 100m, memory: {request}Mi}}
            limits: {{memory: {memory}Mi}}
{SECURITY}          volumeMounts:
{to}            - {{name: secrets, mountPath: /run/portolan/secrets, readOnly: true}}
            - {{name: state, mountPath: /var/lib/portolan, subPath: state}}
            - {{name: scratch, mountPath: /tmp}}
"
    )
}

/// Makes the state directory.
const MAKE: &str = r#"["mkdir", "-p", "-m", "0700", "/volume/state"]"#;

/// Makes the state directory, and copies the files: not the links and directories of the kubelet, which begin with `..`.
const COPY: &str = r#"["sh", "-c", "set -e; umask 077; mkdir -p /volume/state /volume/jobs; cd /etc/portolan; for it in * .[!.]*; do if [ -e \"$it\" ]; then cp -RL -- \"$it\" /volume/jobs/; fi; done"]"#;

/// The rights of a container: none.
const SECURITY: &str = "          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
";

/// The volumes, but for the files.
const SCRATCH: &str = "      volumes:
        - {name: state, emptyDir: {sizeLimit: 4Gi}}
        - {name: scratch, emptyDir: {sizeLimit: 1Gi}}
        - {name: secrets, secret: {secretName: portolan-secrets, optional: true}}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> FleetFile {
        FleetFile { path: path.into(), text: text.into(), is_program: false }
    }

    #[test]
    fn a_config_map_of_more_than_a_mebibyte_is_refused() {
        let fits = "x".repeat(CONFIG_MAP_BYTES_MAX - 3);
        assert!(config_map(&[file("portolan.toml", "abc"), file("a.rhai", &fits)]).is_ok());
        let fault = config_map(&[file("portolan.toml", "abcd"), file("a.rhai", &fits)]);
        assert!(fault.unwrap_err().to_string().contains("have 1048577 bytes"));
    }

    #[test]
    fn files_whose_paths_become_one_key_have_two() {
        let files = ["a/b.rhai", "a-b.rhai", "..", "ä", "a b.rhai"].map(|path| file(path, ""));
        let keys = keys(&files);
        let distinct: BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), files.len(), "{keys:?}");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(keys.iter().all(|key| !key.is_empty() && key.chars().all(is_plain)), "{keys:?}");
    }

    #[test]
    fn a_label_that_no_node_can_have_is_refused() {
        for (key, value) in
            [("network", "dmz"), ("example.com/disk", "a_B.c-9"), ("kubernetes.io/arch", "amd64")]
        {
            assert!(check_label(key, value).is_ok(), "{key}={value}");
        }
        for (key, value) in [
            ("-a", "b"),
            ("a", "b-"),
            ("a/b/c", "d"),
            ("a", "b/c"),
            ("A_b/c", "d"),
            ("/a", "b"),
            ("a/", "b"),
        ] {
            assert!(check_label(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn names_of_deployments_are_short_and_each_is_its_own() {
        let labels = |value: &str| BTreeMap::from([("network".to_owned(), value.to_owned())]);
        let mut taken = BTreeSet::new();
        assert_eq!(name(&BTreeMap::new(), &mut taken), "portolan");
        assert_eq!(name(&labels("a.b"), &mut taken), "portolan-network-a-b");
        assert_eq!(name(&labels("a_b"), &mut taken), "portolan-network-a-b-2");
        let [one, two] =
            ["x", "y"].map(|end| name(&labels(&format!("{}{end}", "n".repeat(60))), &mut taken));
        assert!(one != two && one.len() <= NAME_CHARS_MAX && two.len() <= NAME_CHARS_MAX);
    }
}
