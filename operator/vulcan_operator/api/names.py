"""Every label, annotation, finalizer and field-manager name, once."""

from vulcan_operator.api import GROUP

MANAGED = f"{GROUP}/managed"  # label on Jobs and their pods: the watch selects on it
INSTALL = f"{GROUP}/install"  # label: which installation of the operator made it
OWNER_KIND = f"{GROUP}/owner-kind"
OWNER_NAME = f"{GROUP}/owner-name"
OWNER_NAMESPACE = f"{GROUP}/owner-namespace"
OWNER_UID = f"{GROUP}/owner-uid"
TASK = f"{GROUP}/task"
INPUTS = f"{GROUP}/inputs"  # label: 16 hex digits of what the task was made from
ATTEMPT = f"{GROUP}/attempt"
GATEWAY = f"{GROUP}/gateway"
EVIDENCE = f"{GROUP}/evidence"  # label: evidence of a promotion
TARGET = f"{GROUP}/target"  # labels: the VulcanEnvironment that was promoted to
TARGET_NAMESPACE = f"{GROUP}/target-namespace"
WHY = f"{GROUP}/why"  # annotation: the reason a Job was started
RUNNER = f"{GROUP}/runner"  # annotation: 16 hex digits of the image and runner settings a Job was made with
NONCE = f"{GROUP}/nonce"  # annotation on the pod: frames the report in its log

PLAN_REQUESTED = f"{GROUP}/plan-requested-at"  # annotations: ask for work now; echoed in status.lastHandled…
RUN_REQUESTED = f"{GROUP}/run-requested-at"
CHECKED = f"{GROUP}/checked"  # annotation: a human looked at what this lost Job was appending
PROBE_REQUESTED = f"{GROUP}/probe-requested-at"
HOLD_LIFTED = f"{GROUP}/hold-lifted"  # annotation on an environment: ids of status.held, comma separated
CREATED_BY = f"{GROUP}/created-by"  # annotation: who created an environment or promotion; nobody can change it later
WRITER_GONE = f"{GROUP}/writer-gone"  # annotation on a gateway: a human says this Job's pod is dead

FINALIZER = f"{GROUP}/invalidate"
STATUS_MANAGER = "vulcan-operator"
