"""What holds for every test: changes of status fields are validated, not only their names, and programs that are
started can be interrupted."""

import signal
import threading

from vulcan_operator.api.schemas import Model

Model.checks_changes = True
if threading.current_thread() is threading.main_thread():
    # A shell starts its background jobs with SIGINT ignored, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
