"""What holds for every test: changes of status fields are validated, not only their names."""

from vulcan_operator.api.schemas import Model

Model.checks_changes = True
