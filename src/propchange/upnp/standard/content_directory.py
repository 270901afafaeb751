"""ContentDirectory:1, the contents of a media server."""

from __future__ import annotations

from propchange.core.values.container_update_ids import CONTAINERS, format_container_update_ids
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service

__all__ = ["ContentDirectory"]


class ContentDirectory(Service, type="urn:schemas-upnp-org:service:ContentDirectory:1"):
    """ContentDirectory:1. SystemUpdateID is evented at most once per 2 s, ContainerUpdateIDs at
    most once per 0.2 s. TransferIDs is evented at once (LC-11).

    Do not assign ContainerUpdateIDs: call :meth:`container_updated`.
    """

    search_capabilities = StateVariable("string", evented=False)
    sort_capabilities = StateVariable("string", evented=False)
    system_update_id = StateVariable("ui4", minimum_interval=2.0, name="SystemUpdateID")
    container_update_ids = StateVariable(
        "string", minimum_interval=0.2, merge=CONTAINERS, name="ContainerUpdateIDs"
    )
    transfer_ids = StateVariable("string", name="TransferIDs")

    a_arg_type_object_id = StateVariable("string", evented=False, name="A_ARG_TYPE_ObjectID")
    a_arg_type_result = StateVariable("string", evented=False, name="A_ARG_TYPE_Result")
    a_arg_type_search_criteria = StateVariable(
        "string", evented=False, name="A_ARG_TYPE_SearchCriteria"
    )
    a_arg_type_browse_flag = StateVariable(
        "string",
        allowed=["BrowseMetadata", "BrowseDirectChildren"],
        evented=False,
        name="A_ARG_TYPE_BrowseFlag",
    )
    a_arg_type_filter = StateVariable("string", evented=False, name="A_ARG_TYPE_Filter")
    a_arg_type_sort_criteria = StateVariable(
        "string", evented=False, name="A_ARG_TYPE_SortCriteria"
    )
    a_arg_type_index = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Index")
    a_arg_type_count = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Count")
    a_arg_type_update_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_UpdateID")
    a_arg_type_transfer_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_TransferID")
    a_arg_type_transfer_status = StateVariable(
        "string",
        allowed=["COMPLETED", "ERROR", "IN_PROGRESS", "STOPPED"],
        evented=False,
        name="A_ARG_TYPE_TransferStatus",
    )
    a_arg_type_transfer_length = StateVariable(
        "string", evented=False, name="A_ARG_TYPE_TransferLength"
    )
    a_arg_type_transfer_total = StateVariable(
        "string", evented=False, name="A_ARG_TYPE_TransferTotal"
    )
    a_arg_type_tag_value_list = StateVariable(
        "string", evented=False, name="A_ARG_TYPE_TagValueList"
    )
    a_arg_type_uri = StateVariable("uri", evented=False, name="A_ARG_TYPE_URI")

    def container_updated(self, container: str, update_id: int) -> None:
        """Event that the container with the object ID ``container`` has changed and now has the
        update ID ``update_id``. Calls within one period, or in one ``batch()``, are one event: a
        list with each container once (LC-12)."""
        self.container_update_ids = format_container_update_ids([(container, str(update_id))])
