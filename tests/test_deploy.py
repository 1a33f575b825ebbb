"""The files in deploy/ agree with the app: what can be checked without a registry, a cluster or systemd running."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat.ends import LEAVE_SECONDS
from tests.support import Server
from tests.support.server import ROOT
from utils.settings import Settings, read_settings

DEPLOY = ROOT / "deploy"
# Seconds that closing the sockets may take.
CLOSING = 10
WANTED = Settings().grace_seconds + CLOSING + LEAVE_SECONDS
NAMES = {setting.name.upper() for setting in fields(Settings)}
OTHERS = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


def valid(environment: dict[str, str]) -> Settings:
    """These settings, all of which are known and have a value that the app accepts."""
    assert environment.keys() <= NAMES | OTHERS
    # A store in Redis is for those who have its client.
    return read_settings({name: value for name, value in environment.items() if "redis://" not in value})


# Containerfile


def instructions() -> list[tuple[str, str]]:
    """Its instructions, with their lines joined."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


INSTRUCTIONS = instructions()
IMAGE_ENVIRONMENT = dict(
    pair.split("=", 1) for name, value in INSTRUCTIONS if name == "ENV" for pair in shlex.split(value)
)


def the_last(name: str) -> str:
    return [value for each, value in INSTRUCTIONS if each == name][-1]


def test_the_image_has_all_that_the_app_imports_and_serves() -> None:
    copied = [
        word for name, value in INSTRUCTIONS if name == "COPY" and "--from" not in value for word in value.split()[:-1]
    ]
    assert {"main.py", "flow.py", "nodes.py", "chat", "utils", "static"} <= set(copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch.fnmatch(name, pattern) for pattern in let_in), f".dockerignore keeps {name} out"
    assert [
        name for name in (".env", "chat.db", ".git", "tests") if any(fnmatch.fnmatch(name, each) for each in let_in)
    ] == []


@pytest.mark.parametrize("extras", ["", "redis", "redis metrics"])
def test_the_image_installs_the_requirements_that_were_asked_for(extras: str, tmp_path: Path) -> None:
    (command,) = [value for name, value in INSTRUCTIONS if name == "RUN" and "pip" in value]
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": str(tmp_path), "EXTRAS": extras},
        capture_output=True,
        text=True,
        check=True,
    )
    files = re.findall(r"-[cr] (\S+)", done.stdout)
    wanted = ["constraints.txt", "requirements.txt", *(f"requirements-{name}.txt" for name in extras.split())]
    assert sorted(files) == sorted(wanted)
    assert all((ROOT / name).is_file() for name in files)


def test_the_image_runs_as_nobody_in_particular_and_passes_signals_on() -> None:
    assert the_last("USER") not in ("", "root", "0")
    assert [name for name, _ in INSTRUCTIONS].count("CMD") == 1
    assert json.loads(the_last("CMD")) == ["python", "main.py"]
    settings = valid(IMAGE_ENVIRONMENT)
    assert int(the_last("EXPOSE")) == settings.port
    assert Path(settings.store_url.removeprefix("sqlite:///")).parent == Path(the_last("VOLUME"))


async def test_the_images_health_check_knows_a_live_server_from_a_dead_one(server: Server) -> None:
    command = json.loads(the_last("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"

    def check(port: int) -> int:
        environment = {"PORT": str(port)}
        return subprocess.run(
            [sys.executable, *command[1:]], env=environment, capture_output=True, timeout=10
        ).returncode

    assert (check(server.port), check(1)) == (0, 1)


# compose.yaml

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
APPS = [name for name, service in SERVICES.items() if "build" in service]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_compose_starts_one_app_or_many() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["app"]
    assert sorted(APPS) == ["app", "app1", "app2"]
    for service in SERVICES.values():
        assert "image" in service
        for needed in service.get("depends_on", {}):
            assert SERVICES[needed]["profiles"] == service["profiles"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
        # Nothing is open to the network before somebody decides that.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", APPS)
def test_composes_apps_have_valid_settings_and_time_to_drain(name: str) -> None:
    service = SERVICES[name]
    settings = valid(service["environment"])
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert seconds(service["stop_grace_period"]) > WANTED
    assert all(port.endswith(f":{settings.port}") for port in service.get("ports", []))
    if name != "app":
        assert f"server {name}:{settings.port} max_fails=0;" in (DEPLOY / "nginx.conf").read_text()
        assert service["environment"]["STORE_URL"] == "redis://valkey:6379"
        assert "redis" in service["build"]["args"]["EXTRAS"]


def test_composes_valkey_writes_to_its_volume() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "everysec")
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]


# kubernetes.yaml

OBJECTS: dict[str, Any] = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
POD = OBJECTS["Deployment"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]


PROBES = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("readiness", "liveness", "startup")}


def test_kubernetes_finds_the_pods_and_their_port_and_the_pods_believe_their_ingress() -> None:
    assert OBJECTS.keys() == {"Deployment", "Service", "PodDisruptionBudget"}
    labels = POD["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == OBJECTS["Service"]["spec"]["selector"] == labels
    settings = valid({each["name"]: each["value"] for each in CONTAINER["env"]})
    assert settings.forwarded_allow_ips
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == {OBJECTS["Service"]["spec"]["ports"][0]["targetPort"]: settings.port}
    assert {probe["port"] for probe in PROBES.values()} == ports.keys()


@pytest.mark.parametrize(
    ("name", "path"), [("readiness", "/readyz"), ("liveness", "/healthz"), ("startup", "/healthz")]
)
async def test_kubernetes_may_probe_by_the_pods_address(server: Server, name: str, path: str) -> None:
    assert PROBES[name]["path"] == path
    assert (await server.get(path, Host="10.1.2.3:8000")).status == 200


def test_kubernetes_gives_a_pod_time_to_drain_and_no_rights() -> None:
    spec = POD["spec"]
    grace = float(next(each["value"] for each in CONTAINER["env"] if each["name"] == "GRACE_SECONDS"))
    waiting = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waiting == 5
    assert spec["terminationGracePeriodSeconds"] > waiting + grace + CLOSING + LEAVE_SECONDS
    assert OBJECTS["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["securityContext"]["runAsNonRoot"]
    assert the_last("USER") == f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
    security = CONTAINER["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert CONTAINER["resources"]["limits"]["memory"]
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": "pocket-chat"}}]


# chat.service

UNIT = (DEPLOY / "chat.service").read_text()


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_the_systemd_unit_has_valid_settings_and_time_to_drain() -> None:
    environment = dict(line.split("=", 1) for line in unit("Environment"))
    settings = valid(environment)
    assert settings.workers > 1
    assert unit("ExecReload") == ["kill -HUP $MAINPID"]
    (folder,) = unit("StateDirectory")
    assert settings.store_url.removeprefix("sqlite:///").startswith(f"/var/lib/{folder}/")
    assert int(unit("TimeoutStopSec")[0]) > WANTED
    assert (unit("KillSignal"), unit("Restart"), unit("DynamicUser")) == (["SIGTERM"], ["always"], ["yes"])
    assert unit("ExecStart")[0].endswith("/python main.py")


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    # It looks for the program.
    (tmp_path / "chat.service").write_text(
        re.sub("^ExecStart=[^ ]+", f"ExecStart={sys.executable}", UNIT, flags=re.MULTILINE)
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "chat.service"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
