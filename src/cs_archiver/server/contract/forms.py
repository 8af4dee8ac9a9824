"""What pages send: the fields of forms, and the parameters of their addresses."""

from pydantic import BaseModel, ConfigDict

from cs_archiver.server.contract.base import Query

FORM_FIELD = "csrf"


class Form(BaseModel):
    """The fields of a form, all of them text; every form has the token that only our pages know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    csrf: str = ""


class PageQuery(Query):
    """The parameters of a page: others may stand there too, as what a browser's history or a mail adds."""

    model_config = ConfigDict(extra="ignore")
