"""Joins settings, adapters and engine: the only place that knows all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread

from remediate import faults
from remediate.adapters.alertmanager import Alertmanager
from remediate.adapters.ansible.executor import AnsibleExecutor
from remediate.adapters.clock import SystemClock
from remediate.adapters.event_log import EventLog
from remediate.adapters.faulty import watched
from remediate.adapters.heads import SendMail, head_targets
from remediate.adapters.locks import FileLocks
from remediate.adapters.notify import channels
from remediate.adapters.os_user import os_user
from remediate.adapters.prometheus import Prometheus
from remediate.adapters.secret import resolve
from remediate.adapters.signing import AuditKey
from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.handover import DatabaseCounts
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.adapters.store.locks import AdvisoryLocks
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.adapters.store.silences import DatabaseSilences
from remediate.adapters.store.switches import DatabaseSwitches
from remediate.adapters.store.tokens import DatabaseTokens
from remediate.adapters.threads import ThreadWorkflows
from remediate.catalog.http import SourceEntry
from remediate.catalog.loader import Catalogue
from remediate.catalog.response_rules import check_on_site
from remediate.catalog.schedules import DEFAULTS, check_schedules_on_site, schedules_in_effect
from remediate.catalog.settings import Settings, read_settings
from remediate.domain.approval import Answer, ApprovalRequest, needed_permission
from remediate.domain.digest import digest
from remediate.domain.identity import Allowed, Principal, may
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.domain.rotation import on_call_at
from remediate.domain.source_proof import SourceKey
from remediate.engine.admission import Admission
from remediate.engine.alert_check import AlertCheck
from remediate.engine.alert_watch import AlertWatch
from remediate.engine.announcement import announcer, caller
from remediate.engine.audit import AuditTrail
from remediate.engine.dispatch import PATIENCE, Dispatcher
from remediate.engine.handover import Handover
from remediate.engine.identity import Identity
from remediate.engine.intake import Intake, Policy, Receipt
from remediate.engine.intake_queue import IntakeQueue
from remediate.engine.monitoring import Watcher, Watchers
from remediate.engine.next_runbooks import NextRunbooks
from remediate.engine.ports import Clock, Locks, Ports, Workflows
from remediate.engine.recall import Recall
from remediate.engine.remediation import Remediation
from remediate.engine.schedule_book import ScheduleBook, Timetable
from remediate.engine.schedule_watch import ScheduleWatch
from remediate.engine.staff import Staff
from remediate.engine.switchboard import Switchboard
from remediate.engine.trial import Trial
from remediate.engine.walk import Surroundings
from remediate.engine.watch import SERVICES, Watch
from remediate.errors import RemediateError

#: How long a command waits at its end for notices to be taken by their channels.
_PATIENCE_AT_THE_END = timedelta(seconds=10)


#: What is done beside a service while it works; it is given what lets the service look at once.
Beside = Callable[[Callable[[], None]], AbstractContextManager[object]]


def _nothing(_nudge: Callable[[], None]) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True)
class Reception:
    """What takes alerts for a site: who may post them, the queue that they wait in, and what fetches the others."""

    keys: Mapping[str, SourceKey]
    queue: IntakeQueue
    recall: Recall


@dataclass(frozen=True)
class Installation:
    """A site with everything that works for it."""

    settings: Settings
    catalogue: Catalogue
    ports: Ports
    remediation: Remediation
    handover: Handover
    log: EventLog
    admission: Admission
    switchboard: Switchboard
    audit: AuditTrail
    identity: Identity
    #: The user of this machine that asks, where no token is shown.
    os_user: str
    #: What there is to ask about the alerts of each source.
    watchers: Watchers

    @property
    def watch(self) -> Watch:
        """What keeps deadlines and brings forward what waits for nobody."""
        return Watch(self.ports, self.remediation, also=self._also, observe=self.log.write, tell=self.log.trouble)

    @property
    def alert_watch(self) -> AlertWatch:
        """What keeps silences, alerts and incidents in step with what becomes of runs."""
        desk, load = self.remediation.incidents, self.catalogue.load
        following = NextRunbooks(self.ports, self.response_policy)
        return AlertWatch(self.ports, self.watchers, desk, load, following, tell=self.log.trouble)

    @property
    def response_policy(self) -> Policy:
        """What decides about alerts. A site without rules needs neither runbooks nor an inventory for it."""
        rules = self.settings.responses
        runbooks = {name: self.catalogue.load(name) for rule in rules for name in rule.runbooks}
        return Policy(rules, runbooks, self.ports.executor.hosts if rules else tuple)

    @property
    def timetable(self) -> Timetable:
        """What is run by itself. Where nothing is, neither runbooks nor an inventory are needed for it."""
        written, known = self.settings.schedules, self.catalogue.ids
        wanted = {one.runbook for one in (DEFAULTS if written is None else written) if one.runbook in known}
        runbooks = {name: self.catalogue.load(name) for name in sorted(wanted)}
        hosts = self.ports.executor.hosts
        return Timetable(schedules_in_effect(written, runbooks, hosts() if runbooks else ()), runbooks, hosts)

    @property
    def schedule_book(self) -> ScheduleBook:
        """What answers about schedules."""
        return ScheduleBook(self.ports, self.timetable)

    @property
    def schedule_watch(self) -> ScheduleWatch:
        """What makes runs of schedules that are due; raises InvalidDocument where they do not fit this site."""
        timetable = self.timetable
        if timetable.schedules:
            check_schedules_on_site(timetable.schedules, timetable.runbooks, timetable.hosts())
        return ScheduleWatch(self.ports, timetable, tell=self.log.trouble)

    @property
    def alert_check(self) -> AlertCheck:
        """What compares the policy about alerts with what is loaded elsewhere."""
        return AlertCheck(self.watchers, self.catalogue, self.settings.responses)

    def serve(self, stop: Event, beside: Beside = _nothing) -> None:
        """Work for the whole site until `stop`, which is also set when another service may take over.

        `beside` is entered with what lets the watch look at once, when this service has its place, and left before
        its work ends. Raises Refused when another service works already, StateUnusable when the right to work was lost,
        InvalidDocument when the schedules do not fit this site.
        """
        schedule_watch = self.schedule_watch
        self.ports.workflows.launch(stop)
        watch = self.watch
        self.ports.workflows.whenever_free(watch.nudge)
        telling = Thread(target=self.dispatcher().run, args=(stop,), name="dispatcher", daemon=True)
        telling.start()
        alerts = Thread(target=self.alert_watch.keep, args=(stop,), name="alert-watch", daemon=True)
        alerts.start()
        schedules = Thread(target=schedule_watch.keep, args=(stop, watch.nudge), name="schedule-watch", daemon=True)
        schedules.start()
        try:
            with beside(watch.nudge):
                watch.keep(stop, everything=True)
        finally:
            stop.set()
            self.ports.workflows.close()
            telling.join(PATIENCE.total_seconds())
            alerts.join(PATIENCE.total_seconds())
            schedules.join(PATIENCE.total_seconds())

    def deliver(self) -> None:
        """Send what is due, for a command that no service sends for; what does not arrive waits for the next one."""
        if self.settings.channels and self.ports.outbox.waiting(self.ports.clock.now()):
            self.dispatcher().deliver_due(Event(), patience=_PATIENCE_AT_THE_END)

    def _also(self) -> None:
        self.ports.workflows.adopt()
        _sign_head(self.audit, self.ports.clock, self.log)

    def reception(self, made: Callable[[Receipt], None]) -> Reception:
        """Return what takes alerts; `made` is told what came of each transaction.

        Raises InvalidDocument with everything that is wrong with the rules on this site, UsageError when a secret of
        a source is not where the settings say.
        """
        policy = self.response_policy
        check_on_site(policy.rules, policy.runbooks, policy.hosts())
        queue = IntakeQueue(Intake(self.ports, policy, self.remediation.approvals), made=made)
        sources = {name: watcher.messenger for name, watcher in self.watchers.items() if watcher.messenger}
        keys = {name: _key(name, entry) for name, entry in self.settings.sources.items()}
        recall = Recall(self.ports, sources, queue, self.remediation.incidents, self.log.trouble)
        return Reception(keys, queue, recall)

    def dispatcher(self) -> Dispatcher:
        """Return what sends the notices of this site; the channels are loaded now."""
        clock, settings = self.ports.clock, self.settings
        senders = channels(settings.channels, clock)
        return Dispatcher(self.ports.outbox, senders, settings.routes, settings.people, clock, self.log.trouble)

    def trial(self) -> Trial:
        """Return what proves that the channels of this site work."""
        clock, settings = self.ports.clock, self.settings
        return Trial(self.ports.outbox, self.dispatcher(), settings.routes, settings.people, clock)


@contextmanager
def installation(site: Path, *, executing: bool = True, service: bool = False) -> Iterator[Installation]:
    """Open a site; `executing` says that phases will be run, so that Ansible is warmed up meanwhile.

    A `service` carries work durably and for everybody; there may be one on a SQLite file, and several on PostgreSQL.
    Raises InvalidDocument, UsageError or StateUnusable. On leaving, everything that was started has ended.
    """
    settings = read_settings(site)
    faults.arm(os.environ)
    executor = AnsibleExecutor(settings)
    with ExitStack() as ending:
        ending.callback(executor.close)
        if executing:
            executor.warm_up()
        database = open_database(settings.state, settings.database)
        ending.callback(database.dispose)
        locks = _locks(settings, database)
        log = EventLog(settings.state)
        ending.callback(log.close)
        ports = Ports(
            executor=watched(executor, "executor"),
            store=watched(DatabaseStore(database), "store"),
            approvals=watched(DatabaseApprovals(database), "approvals"),
            switches=watched(DatabaseSwitches(database), "switches"),
            locks=locks,
            clock=SystemClock(),
            workflows=watched(
                _workflows(settings, database, locks, log) if service else ThreadWorkflows(), "workflows"
            ),
            outbox=watched(DatabaseOutbox(database), "outbox"),
            alerts=watched(DatabaseAlerts(database), "alerts"),
            incidents=watched(DatabaseIncidents(database), "incidents"),
            silences=watched(DatabaseSilences(database), "silences"),
            schedules=watched(DatabaseSchedules(database), "schedules"),
        )
        catalogue = Catalogue(settings.content)
        policy = (settings.storm, settings.freezes)
        admission = Admission(
            ports.store, ports.switches, *policy, ports.clock, executor.hosts, lambda: catalogue.routine
        )
        audit = _audit(settings, database, ports.clock)
        watchers = _watchers(settings)
        opened = Installation(
            settings,
            catalogue,
            ports,
            Remediation(ports, catalogue, Surroundings(_staff(settings, ports, catalogue), admission, watchers)),
            Handover(ports.store, DatabaseCounts(database)),
            log,
            admission=admission,
            switchboard=Switchboard(admission, ports.store, ports.switches, ports.clock, catalogue),
            audit=audit,
            identity=Identity(watched(DatabaseTokens(database), "tokens"), settings.people, ports.clock, audit.trail),
            os_user=os_user(),
            watchers=watchers,
        )
        yield opened
        if executing and not service:
            _sign_head(audit, ports.clock, log)
            opened.deliver()


def _key(name: str, entry: SourceEntry) -> SourceKey:
    secret = resolve(entry.token or entry.hmac or "").reveal().encode()
    return SourceKey(
        name=name,
        kind=entry.kind,
        secret=secret,
        signs=entry.hmac is not None,
        signature_header=entry.signature_header.lower(),
        timestamp_header=(entry.timestamp_header or "").lower(),
    )


def _audit(settings: Settings, database: Database, clock: Clock) -> AuditTrail:
    keys = AuditKey(settings.state)
    return AuditTrail(
        watched(DatabaseTrail(database, keys), "trail"),
        keys,
        head_targets(settings.audit.heads, mail=_mailer(settings, clock)),
        every_events=settings.audit.every_events,
        every=settings.audit.every,
    )


def _sign_head(audit: AuditTrail, clock: Clock, log: EventLog) -> None:
    """Sign and send what is due. What fails here is logged and tried again: it must not change how a run ended."""
    try:
        log.write_head(audit.sign_if_due(clock.now()))
    except RemediateError as error:
        log.head_failed(error.message)


def _watchers(settings: Settings) -> Watchers:
    """Return what there is to ask about the alerts of each source; nobody is asked yet."""
    return {
        name: Watcher(
            monitoring=Prometheus(source.monitoring) if source.monitoring else None,
            messenger=watched(Alertmanager(source.messenger, name), "messenger") if source.messenger else None,
        )
        for name, source in settings.sources.items()
    }


def _locks(settings: Settings, database: Database) -> Locks:
    """Locks are kept where every process that works on the same record sees them."""
    return AdvisoryLocks(database) if settings.database.url else FileLocks(settings.state / "locks")


def _staff(settings: Settings, ports: Ports, catalogue: Catalogue) -> Staff:
    return Staff(
        people=settings.people,
        on_call=partial(on_call_at, settings.people, settings.rotation),
        announce=announcer(ports.outbox, catalogue, settings.people, settings.routes),
        call=caller(ports.outbox, settings.routes),
        forbids=_forbids,
        levels=settings.levels,
        policy=settings.policy,
    )


def _forbids(principal: Principal, request: ApprovalRequest, answer: Answer) -> str:
    """Why the roles of a principal do not let them answer, or an empty string."""
    permission = needed_permission(request, principal, answer)
    if permission is None:
        return ""
    groups = {host: request.groups.get(host, ()) for host in request.hosts}
    decision = may(principal, permission, runbook=request.runbook, groups=groups)
    return "" if isinstance(decision, Allowed) else decision.reason


def _workflows(settings: Settings, database: Database, locks: Locks, log: EventLog) -> Workflows:
    # A third of a second of imports, which no attended command has to wait for.
    from remediate.adapters.workflows import DurableWorkflows, sqlite_engine  # noqa: PLC0415  # only a service pays

    if settings.database.url:
        schema = f"{settings.database.schema_name}_workflows"
        return DurableWorkflows(database.another_engine, locks, trouble=log.trouble, schema=schema, slots=SERVICES)
    return DurableWorkflows(partial(sqlite_engine, settings.state / "workflows.db"), locks, trouble=log.trouble)


def _mailer(settings: Settings, clock: Clock) -> SendMail | None:
    """Return what sends the heads of the audit trail by the first e-mail channel, where the site has one."""
    found = next(((name, one) for name, one in settings.channels.items() if one.kind == "email"), None)
    if found is None:
        return None
    name, channel = found

    def mail(subject: str, body: str, address: str) -> None:
        now = clock.now()
        key = f"audit/{digest({'subject': subject})[:16]}/auditors/{name}"
        notice = Notice(
            key=key, channel=name, person="auditors", subject=subject, body=body, created_at=now, next_at=now
        )
        channels({name: channel}, clock)[name].send(notice, Person(id="auditors", name="Auditors", email=address))

    return mail
