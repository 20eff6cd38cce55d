"""The files for Compose and Kubernetes: their structure, their names, and what they run."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.admin.probes import routes
from proxy.app.vitals import AppVitals
from proxy.demo.threaded import ThreadedDemoAPI
from proxy.settings import load
from proxy.settings.names import VARIABLES
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, ProxyProcess, clean_environment, command
from tests.programs import needs

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = ["deployment", "job", "job-before-1.29", "component/sidecar"]

# What the API server would refuse, as far as these files go: every key that they may use.
PROBE = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
CONTAINER = {
    *("name", "image", "command", "args", "env", "ports", "resources", "restartPolicy"),
    *("startupProbe", "readinessProbe", "livenessProbe", "securityContext", "volumeMounts"),
}
POD = {
    *("automountServiceAccountToken", "containers", "initContainers", "restartPolicy"),
    *("securityContext", "volumes"),
}


def read(path: Path) -> Any:
    """Return the document in the file."""
    return yaml.safe_load(path.read_text())


def pod(name: str) -> dict[str, Any]:
    """Return the pod's specification in a manifest."""
    found = read(KUBERNETES / f"{name}.yaml")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def sidecar(name: str) -> dict[str, Any]:
    """Return the proxy's container in a manifest."""
    containers = [*pod(name).get("initContainers", ()), *pod(name).get("containers", ())]
    (found,) = (each for each in containers if each["name"] == "bearer-proxy")
    return dict(found)


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's environment; what a Secret holds is ``acme``."""
    return {each["name"]: each.get("value", "acme") for each in container["env"]}


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API, whose client is called acme."""
    with ThreadedDemoAPI(client_id="acme") as api:
        yield api


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_key_of_a_pod_is_one_that_there_is(name: str) -> None:
    """
    A mistyped key is refused by an API server, or worse, ignored.
    """
    found = pod(name)
    assert set(found) <= POD
    for container in [*found.get("initContainers", ()), *found.get("containers", ())]:
        assert set(container) <= CONTAINER
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert set(container.get(kind, ())) <= PROBE
    mounted = {each["name"] for each in sidecar(name)["volumeMounts"]}
    assert mounted == {each["name"] for each in found["volumes"]}


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_sidecar_has_no_privilege(name: str) -> None:
    """
    What Kubernetes' "restricted" standard asks for, and a root that can't be written to.
    """
    context = sidecar(name)["securityContext"]
    assert context == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_secret_is_readable_by_the_proxy(name: str) -> None:
    """
    By its group where the pod is ours to say so; by everyone in its container where it is not.
    """
    found = pod(name)
    (volume,) = (each["secret"] for each in found["volumes"] if "secret" in each)
    group = found.get("securityContext", {}).get("fsGroup")
    assert (volume["defaultMode"], group) in ((0o440, 65532), (0o444, None))
    others = [each for each in found.get("containers", ()) if each["name"] != "bearer-proxy"]
    mounts = [mount["name"] for each in others for mount in each.get("volumeMounts", ())]
    assert "bearer-proxy-secret" not in mounts


@pytest.mark.parametrize("name", MANIFESTS)
def test_probes_ask_what_the_ops_listener_answers(name: str) -> None:
    """
    Each path is a route, under its own question; the port is that of ops.address.
    """
    container = sidecar(name)
    environment = variables(container)
    port = environment["BEARER_PROXY_OPS_ADDRESS"].rpartition(":")[2]
    assert container["ports"] == [{"name": "bearer-ops", "containerPort": int(port)}]
    known = {route.path for route in routes(AppVitals.__new__(AppVitals))}
    asked = {
        kind: container[kind]["httpGet"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        if kind in container
    }
    assert {each["path"] for each in asked.values()} <= known
    assert {each["port"] for each in asked.values()} == {"bearer-ops"}
    expected = {"startup": "/startupz", "readiness": "/readyz", "liveness": "/livez"}
    for kind, question in asked.items():
        assert question["path"] == expected[kind.removesuffix("Probe")]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_native_sidecar_is_one_where_it_can_be(name: str) -> None:
    """
    An init container that is kept running, which the application's start waits for.
    """
    container = sidecar(name)
    native = container in pod(name).get("initContainers", ())
    assert native == (name != "job-before-1.29")
    assert (container.get("restartPolicy") == "Always") == native
    assert ("startupProbe" in container) == native


def served_by(api: ThreadedDemoAPI, given: dict[str, str], directory: Path) -> dict[str, str]:
    """Return *given* moved here: loopback ports, files in *directory*, the embedded API."""
    secret = directory / "client_secret"
    secret.write_text(api.client_secret)
    secret.chmod(0o400)
    moved = {
        name: f"{value.rpartition(':')[0]}:0" if name.endswith("_ADDRESS") else value
        for name, value in given.items()
    }
    return moved | {
        "BEARER_PROXY_UPSTREAM_URL": api.url,
        "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(secret),
        "BEARER_PROXY_ADMIN_TOKEN_FILE": str(directory / "admin-token"),
    }


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_environment_is_a_valid_configuration(
    name: str, tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    Every variable is a key, its value is accepted, and nothing in it is worth a warning.
    """
    given = variables(sidecar(name))
    assert set(given) <= set(VARIABLES)
    assert given["BEARER_PROXY_LISTEN_ADDRESS"] == "127.0.0.1:8080"
    assert load({}, served_by(api, given, tmp_path)).warnings == ()


def compose() -> dict[str, Any]:
    """Return the services of the Compose file."""
    found = read(DEPLOY / "compose" / "compose.yaml")
    assert set(found) == {"services", "secrets"}
    return dict(found["services"])


def test_compose_waits_for_health_and_gives_no_privilege() -> None:
    """
    By a service's name, on a read-only root, as a user without capabilities; no port is published.
    """
    app, proxy = compose()["app"], compose()["hashrails"]
    assert app["depends_on"] == {"hashrails": {"condition": "service_healthy", "restart": True}}
    assert app["environment"]["API_URL"] == "http://hashrails:8080"
    assert proxy["read_only"] is True
    assert proxy["cap_drop"] == ["ALL"]
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert proxy["user"] == "65532:65532"
    assert "ports" not in proxy
    assert proxy["healthcheck"]["test"] == ["CMD", "bearer-proxy", "health"]


def test_the_service_of_compose_runs_and_is_healthy(tmp_path: Path, api: ThreadedDemoAPI) -> None:
    """
    Its very environment and health check, before the token and with it.
    """
    given = {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "acme", value)
        for name, value in compose()["hashrails"]["environment"].items()
    }
    assert set(given) <= set(VARIABLES)
    _, *asked = compose()["hashrails"]["healthcheck"]["test"][1:]
    environment = served_by(api, given, tmp_path)
    api.fault("down")
    with ProxyProcess(environment, tmp_path) as process:
        address = str(process.wait_for("listener.opened")["admin"])
        here = {"BEARER_PROXY_ADMIN_ADDRESS": address}
        assert command(*asked, environment=here).returncode == 1
        api.fault("recover")
        assert command("wait", environment=here).returncode == 0
        assert command(*asked, environment=here).returncode == 0
        assert process.stop() == 0


def job_scripts() -> dict[str, str]:
    """Return what the job before 1.29 runs, and what its comment has instead."""
    (script,) = pod("job-before-1.29")["containers"][0]["args"]
    text = (KUBERNETES / "job-before-1.29.yaml").read_text()
    lines = re.findall(r"^#   (trap .*|curl .*)$", text, re.MULTILINE)
    assert len(lines) == 2
    return {"bearer-proxy": script, "curl": "\n".join(lines)}


@needs("curl")
@pytest.mark.parametrize("tool", ["bearer-proxy", "curl"])
def test_a_job_before_1_29_waits_and_ends_its_proxy(
    tool: str, tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    Whatever code it ends with is the container's, and the proxy's is 0.
    """
    job = tmp_path / "your-job"
    job.write_text('#!/bin/sh\n[ -e "$BEARER_PROXY_ADMIN_TOKEN_FILE" ] && exit 7\n')
    job.chmod(0o700)
    environment = served_by(api, variables(sidecar("job-before-1.29")), tmp_path)
    with ProxyProcess(environment, tmp_path) as process:
        address = str(process.wait_for("listener.opened")["admin"])
        container = pod("job-before-1.29")["containers"][0]
        done = subprocess.run(
            [*container["command"], job_scripts()[tool].replace("127.0.0.1:8081", address)],
            env=clean_environment(
                {
                    "PATH": f"{tmp_path}:{COMMAND.parent}:{os.environ['PATH']}",
                    "BEARER_PROXY_ADMIN_ADDRESS": address,
                    "BEARER_PROXY_ADMIN_TOKEN_FILE": environment["BEARER_PROXY_ADMIN_TOKEN_FILE"],
                    "no_proxy": "127.0.0.1",
                }
            ),
            timeout=PATIENCE_SECONDS * 2,
            check=False,
        )
        assert done.returncode == 7
        assert process.process.wait(PATIENCE_SECONDS) == 0


APPLICATION = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {fsGroup: 7}
      initContainers: [{name: migrate, image: migrate}]
      containers: [{name: web, image: web}]
      volumes: [{name: mine, emptyDir: {}}]
"""
# Not by `needs`: where a kubectl of this age comes from is each machine's own affair.
NO_KUBECTL = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@NO_KUBECTL
def test_the_component_adds_the_sidecar_and_changes_nothing_else(tmp_path: Path) -> None:
    """
    In front of the pod's own init containers, beside its own volumes, by Kustomize itself.
    """
    shutil.copytree(KUBERNETES / "component", tmp_path / "component")
    (tmp_path / "application.yaml").write_text(APPLICATION)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [application.yaml]\ncomponents: [component]\n"
    )
    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        check=True,
    )
    own = yaml.safe_load(APPLICATION)
    built = yaml.safe_load(done.stdout)
    found, before = (each["spec"]["template"]["spec"] for each in (built, own))
    assert found["initContainers"] == [sidecar("component/sidecar"), *before["initContainers"]]
    expected = [*pod("component/sidecar")["volumes"], *before["volumes"]]
    assert sorted(found["volumes"], key=_name) == sorted(expected, key=_name)
    for each in (found, before):
        del each["initContainers"], each["volumes"]
    assert built == own


def _name(named: dict[str, Any]) -> str:
    return str(named["name"])
