"""Steps become calls of the API: a step comes in, the server is changed; what it refuses names the field of the file."""

from esimhooks.cli.client import Client
from esimhooks.cli.installation.document import Account, Branding, Endpoint, Fields, Provider
from esimhooks.cli.installation.plan import Action, Step
from esimhooks.cli.messages import Denied, Failed, Unreached
from esimhooks.cli.options import path


class Performer:
    """Does one step after the other with an operator's key; it knows the accounts that were made on the way."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: dict[str, str] = {}

    def perform(self, step: Step) -> None:
        """Do it. Raises `Failed` with what was refused."""
        try:
            match step.resource:
                case Account():
                    self._account(step, step.resource)
                case Endpoint():
                    self._endpoint(step, step.resource)
                case Provider():
                    self._provider(step, step.resource)
                case Branding():
                    self._branding(step, step.resource)
        except Denied as error:
            raise Failed("\n".join(f"{step.title}: {line}" for line in error.in_fields())) from None
        except Unreached as error:
            raise Failed(f"{step.title}: {error}") from None

    def _account(self, step: Step, account: Account) -> None:
        match step.action:
            case Action.CREATE:
                made = self._client.post(path("accounts"), {"name": account.name}).as_(Fields)
                self._made[account.name] = made["id"]
                if more := {name: value for name, value in account.fields.items() if name != "name"}:
                    self._client.call("PATCH", path("accounts", made["id"]), body=more)
            case Action.CHANGE:
                self._client.call("PATCH", path("accounts", step.id), body=_new_values(step))
            case Action.DELETE:
                self._client.delete(path("accounts", step.id))

    def _endpoint(self, step: Step, endpoint: Endpoint) -> None:
        account = step.account_id or self._made[step.account]
        client = self._client.acting_for(account, endpoint.mode)
        match step.action:
            case Action.CREATE:
                secret = {} if endpoint.secret is None else {"secret": endpoint.secret}
                made = client.post(path("endpoints"), endpoint.fields | secret).as_(Fields)
                if endpoint.enabled is False:
                    client.post(path("endpoints", made["id"], "disable"))
            case Action.CHANGE:
                self._change_endpoint(client, step)
            case Action.DELETE:
                client.delete(path("endpoints", step.id))

    def _change_endpoint(self, client: Client, step: Step) -> None:
        changed = _new_values(step)
        secret, enabled = changed.pop("secret", None), changed.pop("enabled", None)
        if changed:
            client.call("PATCH", path("endpoints", step.id), body=changed)
        if secret is not None:
            client.post(path("endpoints", step.id, "rotate-secret"), {"secret": secret})
        if enabled is not None:
            client.post(path("endpoints", step.id, "enable" if enabled else "disable"))

    def _branding(self, step: Step, branding: Branding) -> None:
        account = step.account_id or self._made.get(step.account, "")
        target = path("accounts", account, "branding") if account else path("branding")
        self._client.call("PATCH", target, body=branding.fields)

    def _provider(self, step: Step, provider: Provider) -> None:
        if step.action is Action.DELETE:
            self._client.delete(path("providers", provider.name))
        else:
            self._client.put(path("providers", provider.name), provider.fields)


def _new_values(step: Step) -> Fields:
    return {one.field: one.new for one in step.differences}
