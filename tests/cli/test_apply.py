"""`esimhooks apply` and `export`: a server becomes what a file says, and says it in a file that makes the same server."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api import Api, a_merchant
from cli.canned import Done
from cli.processes import done, environment
from docs.samples import ALL

pytestmark = [pytest.mark.slow(reason="each command is a process of its own"), pytest.mark.timeout(60)]

FILE = """
[[accounts]]
name = "Acme"

[[accounts.endpoints]]
mode = "test"
name = "main"
url = "https://hooks.example.com/esims"
eventTypes = ["esim.activated", "esim.expired"]
retrySchedule = "persistent"
secret = {fromEnv = "ACME_SECRET"}
headers = {authorization = {fromEnv = "ACME_TOKEN"}, "x-team" = "esims"}

[[accounts.endpoints]]
mode = "live"
url = "https://hooks.example.com/live"
enabled = false

[[accounts]]
name = "Bolt"

[[providers]]
name = "upstream"
kind = "esimaccess"
credentials = {accessCode = {fromEnv = "UPSTREAM_CODE"}}
settings = {confirm = "terminal"}
"""
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
VARIABLES = {"ACME_SECRET": SECRET, "ACME_TOKEN": "Bearer t0ken", "UPSTREAM_CODE": "c0de-of-upstream"}


class Shell:
    """Runs commands as an operator, with files in a folder."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.variables = variables

    def write(self, text: str, name: str = "installation.toml") -> str:
        file = self.folder / name
        file.write_text(text)
        return str(file)

    async def run(self, *words: str) -> Done:
        return await done(*words, variables=self.variables)

    async def json(self, *words: str) -> Any:
        listed = await self.run(*words, "--json")
        assert listed.code == 0, listed
        return json.loads(listed.out)


def sourced(file: Path) -> dict[str, str]:
    """Return the variables that a shell has which reads the file."""
    words = ["env", "-i", "sh", "-c", 'set -a; . "$1"; exec env -0', "sh", str(file)]
    printed = subprocess.run(words, cwd=file.parent, capture_output=True, check=True, text=True).stdout
    pairs = (one.partition("=") for one in printed.split("\0") if one)
    return {name: value for name, _, value in pairs if name not in ("PWD", "OLDPWD", "SHLVL", "_")}


@pytest.fixture
def shell(operator: Api, tmp_path: Path) -> Shell:
    return Shell(tmp_path, environment(**VARIABLES, ESIMHOOKS_URL=operator.url, ESIMHOOKS_API_KEY=operator.key))


async def test_a_file_makes_accounts_endpoints_and_providers(shell: Shell, operator: Api) -> None:
    applied = await shell.run("apply", shell.write(FILE))

    assert (applied.code, applied.out.splitlines()[-1]) == (0, "5 created")
    names = {one["name"]: one["id"] for one in (await operator.get("/v1/accounts"))["data"]}
    assert sorted(names) == ["Acme", "Bolt"]
    [main] = (await operator.get(f"/v1/endpoints?account={names['Acme']}&mode=test"))["data"]
    [live] = (await operator.get(f"/v1/endpoints?account={names['Acme']}&mode=live"))["data"]
    assert main["headers"] == {"authorization": "Bearer t0ken", "x-team": "esims"}
    assert live["enabled"] is False
    kept = await operator.get(f"/v1/endpoints/{main['id']}/secret?account={names['Acme']}&mode=test")
    assert kept["secret"] == SECRET
    assert (await operator.get("/v1/providers/upstream"))["credentialsSet"] == ["accessCode"]
    assert not any(value in applied.out + applied.err for value in VARIABLES.values())


async def test_what_is_so_already_is_not_done_again(shell: Shell) -> None:
    without_provider = shell.write(FILE.partition("[[providers]]")[0])
    await shell.run("apply", without_provider)

    again = await shell.run("apply", without_provider)

    assert (again.code, again.out, again.err) == (0, "", "nothing to change\n")


async def test_members_that_the_file_does_not_name_stay(shell: Shell, operator: Api) -> None:
    without_provider = FILE.partition("[[providers]]")[0]
    await shell.run("apply", shell.write(without_provider))

    again = await shell.run("apply", shell.write(without_provider.replace(', "x-team" = "esims"', "")))
    changed = await shell.run(
        "apply", shell.write(without_provider.replace('"x-team" = "esims"', '"x-team" = "other"'))
    )

    [acme] = [one["id"] for one in (await operator.get("/v1/accounts"))["data"] if one["name"] == "Acme"]
    [main] = (await operator.get(f"/v1/endpoints?account={acme}&mode=test"))["data"]
    assert again.err == "nothing to change\n"
    assert changed.out.splitlines()[-1] == "1 changed"
    assert main["headers"] == {"authorization": "Bearer t0ken", "x-team": "other"}


async def test_differences_are_shown_and_only_then_changed(shell: Shell, operator: Api) -> None:
    await shell.run("apply", shell.write(FILE))
    other = shell.write(FILE.replace('"persistent"', "[0, 60]").replace("enabled = false", "enabled = true"))

    shown = await shell.run("apply", other, "--dry-run")
    listed = await shell.json("apply", other, "--dry-run")
    applied = await shell.run("apply", other)
    after = await shell.run("apply", other, "--dry-run")

    assert "~ endpoint main of Acme (test)\n    retrySchedule: 0, 5, 300, 1800" in shown.out
    assert "→ 0, 60\n" in shown.out
    assert "credentials: stored again, as they cannot be compared" in shown.out
    assert shown.err.splitlines()[0] == "nothing was changed"
    assert [(one["action"], one["what"]) for one in listed] == [
        ("change", "provider upstream"),
        ("change", "endpoint main of Acme (test)"),
        ("change", "endpoint https://hooks.example.com/live of Acme (live)"),
    ]
    assert applied.out.splitlines()[-1] == "3 changed"
    assert [line for line in after.out.splitlines() if line[0] != " "] == ["~ provider upstream"]


async def test_what_is_changed_is_json_and_nothing_else(shell: Shell) -> None:
    applied = await shell.json("apply", shell.write(FILE))

    assert [one["action"] for one in applied] == ["create"] * 5


async def test_nothing_is_deleted_without_prune(shell: Shell, operator: Api) -> None:
    await a_merchant(operator, webhook_url="https://elsewhere.example/hooks")
    await shell.run("apply", shell.write(FILE.replace('name = "Acme"', 'name = "Acme 2"')))
    smaller = shell.write('[[accounts]]\nname = "Acme 2"\n')

    kept = await shell.run("apply", smaller)
    refused = await shell.run("apply", smaller, "--prune")
    pruned = await shell.run("apply", smaller, "--prune", "--yes")

    assert kept.out == ""
    assert "5 more on the server are not in the file: they stay, --prune deletes them" in kept.err
    assert refused.code == 2
    assert "pass --yes" in refused.err
    assert pruned.out.splitlines()[-1] == "5 deleted"
    assert [one["name"] for one in (await operator.get("/v1/accounts"))["data"]] == ["Acme 2"]
    assert (await operator.get("/v1/providers"))["data"] == []


async def test_an_export_makes_the_same_installation_elsewhere(shell: Shell, operator: Api) -> None:
    await shell.run("apply", shell.write(FILE))
    variables = shell.folder / "secrets.env"

    exported = await shell.run("export", "--env", str(variables))
    file = shell.write(exported.out, "exported.toml")
    shell.variables |= {name: value or "c0de-of-upstream" for name, value in sourced(variables).items()}
    same = await shell.run("apply", file, "--dry-run")
    await shell.run("apply", shell.write(""), "--prune", "--yes")
    emptied = (await operator.get("/v1/accounts"))["data"]
    await shell.run("apply", file)
    again = await shell.run("export")

    assert variables.stat().st_mode & 0o777 == 0o600
    assert not any(value in exported.out for value in VARIABLES.values())
    assert [line for line in same.out.splitlines() if line[0] != " "] == ["~ provider upstream"]
    assert emptied == []
    assert again.out == exported.out


async def test_no_value_that_a_merchant_chose_is_carried_out_by_the_shell_that_reads_it(
    shell: Shell, operator: Api
) -> None:
    value = "Bearer $(touch pwned) `touch pwned`; touch pwned & 'it' \"is\" \\ #"
    account = await operator.post("/v1/accounts", {"name": "24 Shop"})
    body = {"url": "https://hooks.example.com/esims", "headers": {"authorization": value}}
    await operator.post(f"/v1/endpoints?account={account['id']}&mode=test", body)
    variables = shell.folder / "secrets.env"

    await shell.run("export", "--env", str(variables))

    assert sourced(variables)["_24_SHOP_ENDPOINT_TEST_AUTHORIZATION"] == value
    assert [one.name for one in shell.folder.iterdir()] == ["secrets.env"]


async def test_pages_look_as_the_file_says(shell: Shell, operator: Api) -> None:
    logo = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'><path d='M0 0h1v1z'/></svg>"
    shell.write(logo.decode(), "logo.svg")
    file = shell.write(
        'branding = {name = "Acme Travel", accent = "#7a1f5c", logo = {fromFile = "logo.svg"}}\n'
        '[[accounts]]\nname = "Bolt"\nbranding = {name = "Bolt eSIM", language = "de"}\n'
    )

    applied = await shell.run("apply", file)
    again = await shell.json("apply", file, "--dry-run")
    exported = await shell.run("export")
    plain = shell.write(exported.out.replace("Acme Travel", "Acme"), "exported.toml")
    changed = await shell.json("apply", plain, "--dry-run")

    looks = await operator.get("/v1/branding")
    assert (applied.code, applied.out.splitlines()[-1]) == (0, "2 changed, 1 created")
    assert (looks["name"], looks["accent"], looks["hasLogo"]) == ("Acme Travel", "#7a1f5c", True)
    assert [one["field"] for step in again for one in step["differences"]] == ["logo"]
    assert [(step["what"], one["old"], one["new"]) for step in changed for one in step["differences"]] == [
        ("branding", "Acme Travel", "Acme")
    ]
    await operator.call("PATCH", "/v1/branding", dict.fromkeys(("name", "accent", "logo")))


async def test_the_file_of_the_documentation_is_one(shell: Shell) -> None:
    [sample] = [one.text for one in ALL if one.page == "docs/tasks.md" and one.language == "toml"]
    shell.variables |= {
        "ACME_MAIN_LIVE_SECRET": SECRET,
        "UPSTREAM_ACCESS_CODE": "a" * 8,
        "UPSTREAM_SECRET_KEY": "b" * 8,
    }

    applied = await shell.run("apply", shell.write(sample))

    assert (applied.code, applied.out.splitlines()[-1]) == (0, "3 created")


async def test_a_provider_that_is_a_document_stands_in_a_file_beside_it(shell: Shell, operator: Api) -> None:
    [document] = [one.text for one in ALL if one.page == "docs/mapping.md" and one.text.startswith('name = "Acme"')]
    shell.write(document, "acme-mapping.toml")
    file = shell.write(
        '[[providers]]\nname = "acme"\nkind = "mapping"\nsettings = {document = {fromFile = "acme-mapping.toml"}}\n'
        'credentials = {webhookSecret = {fromEnv = "UPSTREAM_CODE"}}\n'
    )

    applied = await shell.run("apply", file)
    again = await shell.json("apply", file, "--dry-run")

    assert (applied.code, applied.out.splitlines()[-1]) == (0, "1 created")
    assert [one["field"] for step in again for one in step["differences"]] == ["credentials"]


async def test_what_the_server_refuses_names_thing_and_field_and_what_was_done(shell: Shell) -> None:
    file = shell.write(FILE.replace('"esim.expired"', '"esim.gone"'))

    applied = await shell.run("apply", file)

    assert applied.code == 1
    assert "before that: 2 created; the rest was not tried" in applied.err
    assert "error: endpoint main of Acme (test): eventTypes/1: expected an event type such as" in applied.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accounts = 1", "accounts: expected a list, as [[accounts]]"),
        ("[[accounts]]\n", "accounts 1: expected a name"),
        ("[[account]]\nname = 'x'", "there is no account; expected accounts, providers"),
        ("[[accounts]]\nname = 'x'\n[[accounts]]\nname = 'x'", "the account x is there twice"),
        (
            "[[accounts]]\nname = 'x'\n[[accounts.endpoints]]\nmode = 'prod'",
            "accounts 1.endpoints 1.mode: expected live",
        ),
        ("[[accounts]]\nname = {fromEnv = 'NOT_SET'}", "NOT_SET is not set in the environment"),
        ("[[accounts]]\nname = {fromFile = 'none'}", "none cannot be read (No such file or directory)"),
        ("[[providers]]\nname = 'x'", "providers 1: expected a name and a kind"),
        ("[[accounts]\n", "expected TOML"),
    ],
)
async def test_a_file_that_is_wrong_says_where(shell: Shell, text: str, message: str) -> None:
    applied = await shell.run("apply", shell.write(text))

    assert (applied.code, applied.out) == (1, "")
    assert message in applied.err
