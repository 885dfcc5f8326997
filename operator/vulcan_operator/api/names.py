"""The names of all labels, annotations, finalizers and field managers."""

from vulcan_operator.api import GROUP

MANAGED = f"{GROUP}/managed"  # label on Jobs and their pods, which the watch selects on
INSTALL = f"{GROUP}/install"  # label on Jobs, pods, ConfigMaps: the installation that created it
OWNER_KIND = f"{GROUP}/owner-kind"
OWNER_NAME = f"{GROUP}/owner-name"
OWNER_NAMESPACE = f"{GROUP}/owner-namespace"
OWNER_UID = f"{GROUP}/owner-uid"
TASK = f"{GROUP}/task"
INPUTS = f"{GROUP}/inputs"  # label: digest of the task's inputs, 16 hex digits
ATTEMPT = f"{GROUP}/attempt"
GATEWAY = f"{GROUP}/gateway"
EVIDENCE = f"{GROUP}/evidence"  # label: evidence of a promotion
TARGET = f"{GROUP}/target"  # labels: the VulcanEnvironment that the promotion changed
TARGET_NAMESPACE = f"{GROUP}/target-namespace"
WHY = f"{GROUP}/why"  # annotation: why the Job was started
RUNNER = f"{GROUP}/runner"  # annotation: digest of the Job's image and runner settings
NONCE = f"{GROUP}/nonce"  # annotation on the pod: frames the report in its log

PLAN_REQUESTED = f"{GROUP}/plan-requested-at"  # annotations: request work; see status.lastHandled…
RUN_REQUESTED = f"{GROUP}/run-requested-at"
CHECKED = f"{GROUP}/checked"  # annotation: a user checked the table of this lost Job
PROBE_REQUESTED = f"{GROUP}/probe-requested-at"
HOLD_LIFTED = f"{GROUP}/hold-lifted"  # annotation on an environment: ids of status.held, by commas
CREATED_BY = f"{GROUP}/created-by"  # annotation: who created the object; immutable
WRITER_GONE = f"{GROUP}/writer-gone"  # annotation on a gateway: a user confirms that a pod is dead

FINALIZER = f"{GROUP}/invalidate"
STATUS_MANAGER = "vulcan-operator"
