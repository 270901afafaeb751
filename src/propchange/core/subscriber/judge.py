"""The rules of NOTIFY: a request and a policy in, a verdict out.

The judges know no subscriptions: the caller looks up whether the SID exists. The verdict is a
:class:`Notification` or a :class:`.Refusal`. 400 for what is malformed or contradicts itself comes
before 412 for what is well-formed and wrong (UDA 2.0 §4.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from propchange.core.record import Record
from propchange.core.subscriber.callback_url import (
    CallbackURL,
    callback_of_parts,
    callback_of_url,
)
from propchange.core.tolerance import accepts
from propchange.core.wire.headers import (
    EVENT_NT,
    PROPCHANGE_NTS,
    parse_seq,
    parse_sid,
    server_token,
)
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import (
    HOST_MISSING,
    PRODUCT,
    UNKNOWN_OS,
    Refusal,
    check_policy,
    check_product,
    empty_response,
    judge_authority,
    judge_origin,
    refuse_method,
    refuse_repeated,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SubscriberPolicy(Record):
    """How a subscriber subscribes, and which events it accepts.

    ``duration`` is the wanted one, in seconds; ``hosts`` as in :class:`.PublisherPolicy`;
    ``require_device_source`` refuses events from another address than the device's; ``user_agent``
    and ``friendly_name`` (CPFN.UPNP.ORG, 2.0 only) are in its requests. ``callback_host`` and
    ``callback_port`` override the address in CALLBACK (NAT, containers): a name or an address that
    a device can call, without a zone (V6-07). ``shared_path`` is one path for all subscriptions;
    with None, each has a secret one. ``callback_url`` is the whole URL in CALLBACK instead, for a
    web server or a proxy in front: ``http://192.168.1.5:8000/events/{token}``. With ``{token}``
    each SUBSCRIBE has a secret path of its own; without, all subscriptions share the URL. With
    ``any_seq`` an event whose SEQ is no number is taken as one without SEQ. Raises ValueError for
    values that no request can carry.
    """

    allowed_methods: ClassVar[bytes] = b"NOTIFY"
    uda: str = "1.1"
    duration: int = 1800
    hosts: frozenset[str] = frozenset()
    require_device_source: bool = False
    user_agent: str = ""
    friendly_name: str = "propchange"
    callback_host: str | None = None
    callback_port: int | None = None
    shared_path: str | None = None
    callback_url: str | None = None
    any_seq: bool = False
    callback: CallbackURL = field(init=False, repr=False, compare=False)
    """The form of the four settings of CALLBACK."""

    def __post_init__(self) -> None:
        check_policy(self.uda, self.hosts)
        if self.duration < 1:
            raise ValueError(f"a duration is at least 1 second, not {self.duration}")
        if not self.friendly_name.strip() or not self.friendly_name.isprintable():
            raise ValueError(f"{self.friendly_name!r} is no name that a header can carry")
        parts = self.callback_host, self.callback_port, self.shared_path
        if self.callback_url is None:
            callback = callback_of_parts(*parts)
        elif parts == (None, None, None):
            callback = callback_of_url(self.callback_url)
        else:
            raise ValueError(
                "callback_url is the whole URL of CALLBACK: leave out callback_host, callback_port "
                "and shared_path"
            )
        object.__setattr__(self, "callback", callback)
        check_product("user_agent", self.user_agent)
        if not self.user_agent:
            object.__setattr__(self, "user_agent", server_token(self.uda, PRODUCT, UNKNOWN_OS))

    @property
    def signature(self) -> HeaderPairs:
        """Empty: an answer to NOTIFY names no product."""
        return ()


class Notification(NamedTuple):
    """A NOTIFY: 412 when the SID is unknown, 400 when ``body`` is no propertyset, else
    :func:`notify_response`. ``seq`` is None when the device sent none."""

    sid: str
    seq: int | None
    body: bytes


_NOTIFY = "UDA 2.0 §4.3.2"

_ONCE = frozenset({b"host", b"sid", b"nt", b"nts", b"seq"})
_SEQ_MAY_MISS = accepts("subscriber", "seq-missing")


def judge_notify(
    request: Request, policy: SubscriberPolicy, advertised: str | None = None
) -> Notification | Refusal:
    """A NOTIFY (UDA 2.0 §4.3.2). ``advertised`` is the authority in the CALLBACK that led to
    this path, which HOST may carry as well. The body is not looked at."""
    # Called for every event of a device that connects anew for each: keep the calls few.
    if request.method != "NOTIFY":
        return refuse_method(request.method, "NOTIFY")
    fields = request.fields
    repeated = request.repeated
    if repeated and not repeated.isdisjoint(_ONCE):
        return refuse_repeated(repeated & _ONCE)
    host = fields.get(b"host")
    if host is None:
        return HOST_MISSING
    refusal = judge_authority(host, request.local, policy.hosts, advertised)
    if refusal is None and b"origin" in fields:
        refusal = judge_origin(host, request)
    if refusal is not None:
        return refusal
    nt = fields.get(b"nt")
    nts = fields.get(b"nts")
    if nt is None or nts is None:
        return Refusal(400, "NT or NTS is missing", _NOTIFY)
    try:
        seq = parse_seq(fields.get(b"seq"))
    except ValueError as error:
        if not policy.any_seq:
            return Refusal(400, str(error), _NOTIFY)
        seq = None
    if seq is None and not _SEQ_MAY_MISS:
        return Refusal(400, "SEQ is missing", _NOTIFY)
    if nt != EVENT_NT:
        return Refusal(412, "NT is not upnp:event", _NOTIFY)
    if nts != PROPCHANGE_NTS:
        return Refusal(412, "NTS is not upnp:propchange", _NOTIFY)
    try:
        sid = parse_sid(fields.get(b"sid"))
    except ValueError as error:
        return Refusal(412, str(error), _NOTIFY)
    # As Notification(…), which makes receiving a NOTIFY 5 % slower.
    return tuple.__new__(Notification, (sid, seq, request.body))


def notify_response(request: Request) -> Response:
    """The 200 to a NOTIFY (UDA 2.0 §4.3.2). The same response is given to many requests: it is not
    to be changed."""
    return _NOTIFY_RESPONSES[request.http_version == "1.0", request.keep_alive]


# The 200 to NOTIFY, by HTTP version and keep-alive. Making one for each costs 12 % of receiving
# it.
_NOTIFY_RESPONSES = {
    (version == "1.0", keep_alive): empty_response(
        200,
        Request("NOTIFY", "/", (), http_version=version, keep_alive=keep_alive),
        SubscriberPolicy(),
    )
    for version in ("1.0", "1.1")
    for keep_alive in (False, True)
}


def granted_sid(response: Response, renewed: str | None = None) -> str | None:
    """The SID that ``response`` to a SUBSCRIBE grants, None when it grants nothing.

    ``renewed`` is the SID that was to be renewed. The subscription keeps it unless the answer
    names another one (REN-12)."""
    if response.status != 200:
        return None
    try:
        return parse_sid(response.fields.get(b"sid", b""))
    except ValueError:
        return renewed
