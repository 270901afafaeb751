"""The actions of the standards, as data: the tables of the "Actions" chapters of each document.

A line is an action. R: required, O: optional. ``>Name:Variable`` is an in argument with its related
state variable, ``<Name:Variable`` an out argument.
"""

from __future__ import annotations

from typing import NamedTuple

_INSTANCE = ">InstanceID:A_ARG_TYPE_InstanceID"
_CHANNEL = f"{_INSTANCE} >Channel:A_ARG_TYPE_Channel"
_BROWSED = (
    "<Result:A_ARG_TYPE_Result <NumberReturned:A_ARG_TYPE_Count "
    "<TotalMatches:A_ARG_TYPE_Count <UpdateID:A_ARG_TYPE_UpdateID"
)
_RANGE = (
    ">Filter:A_ARG_TYPE_Filter >StartingIndex:A_ARG_TYPE_Index "
    ">RequestedCount:A_ARG_TYPE_Count >SortCriteria:A_ARG_TYPE_SortCriteria"
)
_MAPPING_KEY = (
    ">NewRemoteHost:RemoteHost >NewExternalPort:ExternalPort >NewProtocol:PortMappingProtocol"
)
_MAPPED = (
    "{0}NewInternalPort:InternalPort {0}NewInternalClient:InternalClient "
    "{0}NewEnabled:PortMappingEnabled {0}NewPortMappingDescription:PortMappingDescription "
    "{0}NewLeaseDuration:PortMappingLeaseDuration"
)
_PICTURE = (
    "Brightness Contrast Sharpness RedVideoGain GreenVideoGain BlueVideoGain RedVideoBlackLevel "
    "GreenVideoBlackLevel BlueVideoBlackLevel ColorTemperature HorizontalKeystone VerticalKeystone"
)

_TABLES = {
    "AVTransport": f"""
        R SetAVTransportURI {_INSTANCE} >CurrentURI:AVTransportURI \
            >CurrentURIMetaData:AVTransportURIMetaData
        O SetNextAVTransportURI {_INSTANCE} >NextURI:NextAVTransportURI \
            >NextURIMetaData:NextAVTransportURIMetaData
        R GetMediaInfo {_INSTANCE} <NrTracks:NumberOfTracks <MediaDuration:CurrentMediaDuration \
            <CurrentURI:AVTransportURI <CurrentURIMetaData:AVTransportURIMetaData \
            <NextURI:NextAVTransportURI <NextURIMetaData:NextAVTransportURIMetaData \
            <PlayMedium:PlaybackStorageMedium <RecordMedium:RecordStorageMedium \
            <WriteStatus:RecordMediumWriteStatus
        R GetTransportInfo {_INSTANCE} <CurrentTransportState:TransportState \
            <CurrentTransportStatus:TransportStatus <CurrentSpeed:TransportPlaySpeed
        R GetPositionInfo {_INSTANCE} <Track:CurrentTrack <TrackDuration:CurrentTrackDuration \
            <TrackMetaData:CurrentTrackMetaData <TrackURI:CurrentTrackURI \
            <RelTime:RelativeTimePosition <AbsTime:AbsoluteTimePosition \
            <RelCount:RelativeCounterPosition <AbsCount:AbsoluteCounterPosition
        R GetDeviceCapabilities {_INSTANCE} <PlayMedia:PossiblePlaybackStorageMedia \
            <RecMedia:PossibleRecordStorageMedia <RecQualityModes:PossibleRecordQualityModes
        R GetTransportSettings {_INSTANCE} <PlayMode:CurrentPlayMode \
            <RecQualityMode:CurrentRecordQualityMode
        R Stop {_INSTANCE}
        R Play {_INSTANCE} >Speed:TransportPlaySpeed
        O Pause {_INSTANCE}
        O Record {_INSTANCE}
        R Seek {_INSTANCE} >Unit:A_ARG_TYPE_SeekMode >Target:A_ARG_TYPE_SeekTarget
        R Next {_INSTANCE}
        R Previous {_INSTANCE}
        O SetPlayMode {_INSTANCE} >NewPlayMode:CurrentPlayMode
        O SetRecordQualityMode {_INSTANCE} >NewRecordQualityMode:CurrentRecordQualityMode
        O GetCurrentTransportActions {_INSTANCE} <Actions:CurrentTransportActions
    """,
    "RenderingControl": f"""
        R ListPresets {_INSTANCE} <CurrentPresetNameList:PresetNameList
        R SelectPreset {_INSTANCE} >PresetName:A_ARG_TYPE_PresetName
    """
    + "".join(
        f"O Get{name} {_INSTANCE} <Current{name}:{name}\n"
        f"O Set{name} {_INSTANCE} >Desired{name}:{name}\n"
        for name in _PICTURE.split()
    )
    + f"""
        O GetMute {_CHANNEL} <CurrentMute:Mute
        O SetMute {_CHANNEL} >DesiredMute:Mute
        O GetVolume {_CHANNEL} <CurrentVolume:Volume
        O SetVolume {_CHANNEL} >DesiredVolume:Volume
        O GetVolumeDB {_CHANNEL} <CurrentVolume:VolumeDB
        O SetVolumeDB {_CHANNEL} >DesiredVolume:VolumeDB
        O GetVolumeDBRange {_CHANNEL} <MinValue:VolumeDB <MaxValue:VolumeDB
        O GetLoudness {_CHANNEL} <CurrentLoudness:Loudness
        O SetLoudness {_CHANNEL} >DesiredLoudness:Loudness
    """,
    "ConnectionManager": """
        R GetProtocolInfo <Source:SourceProtocolInfo <Sink:SinkProtocolInfo
        O PrepareForConnection >RemoteProtocolInfo:A_ARG_TYPE_ProtocolInfo \
            >PeerConnectionManager:A_ARG_TYPE_ConnectionManager \
            >PeerConnectionID:A_ARG_TYPE_ConnectionID >Direction:A_ARG_TYPE_Direction \
            <ConnectionID:A_ARG_TYPE_ConnectionID <AVTransportID:A_ARG_TYPE_AVTransportID \
            <RcsID:A_ARG_TYPE_RcsID
        O ConnectionComplete >ConnectionID:A_ARG_TYPE_ConnectionID
        R GetCurrentConnectionIDs <ConnectionIDs:CurrentConnectionIDs
        R GetCurrentConnectionInfo >ConnectionID:A_ARG_TYPE_ConnectionID <RcsID:A_ARG_TYPE_RcsID \
            <AVTransportID:A_ARG_TYPE_AVTransportID <ProtocolInfo:A_ARG_TYPE_ProtocolInfo \
            <PeerConnectionManager:A_ARG_TYPE_ConnectionManager \
            <PeerConnectionID:A_ARG_TYPE_ConnectionID <Direction:A_ARG_TYPE_Direction \
            <Status:A_ARG_TYPE_ConnectionStatus
    """,
    "ContentDirectory": f"""
        R GetSearchCapabilities <SearchCaps:SearchCapabilities
        R GetSortCapabilities <SortCaps:SortCapabilities
        R GetSystemUpdateID <Id:SystemUpdateID
        R Browse >ObjectID:A_ARG_TYPE_ObjectID >BrowseFlag:A_ARG_TYPE_BrowseFlag {_RANGE} {_BROWSED}
        O Search >ContainerID:A_ARG_TYPE_ObjectID >SearchCriteria:A_ARG_TYPE_SearchCriteria \
            {_RANGE} {_BROWSED}
        O CreateObject >ContainerID:A_ARG_TYPE_ObjectID >Elements:A_ARG_TYPE_Result \
            <ObjectID:A_ARG_TYPE_ObjectID <Result:A_ARG_TYPE_Result
        O DestroyObject >ObjectID:A_ARG_TYPE_ObjectID
        O UpdateObject >ObjectID:A_ARG_TYPE_ObjectID >CurrentTagValue:A_ARG_TYPE_TagValueList \
            >NewTagValue:A_ARG_TYPE_TagValueList
        O ImportResource >SourceURI:A_ARG_TYPE_URI >DestinationURI:A_ARG_TYPE_URI \
            <TransferID:A_ARG_TYPE_TransferID
        O ExportResource >SourceURI:A_ARG_TYPE_URI >DestinationURI:A_ARG_TYPE_URI \
            <TransferID:A_ARG_TYPE_TransferID
        O StopTransferResource >TransferID:A_ARG_TYPE_TransferID
        O GetTransferProgress >TransferID:A_ARG_TYPE_TransferID \
            <TransferStatus:A_ARG_TYPE_TransferStatus <TransferLength:A_ARG_TYPE_TransferLength \
            <TransferTotal:A_ARG_TYPE_TransferTotal
        O DeleteResource >ResourceURI:A_ARG_TYPE_URI
        O CreateReference >ContainerID:A_ARG_TYPE_ObjectID >ObjectID:A_ARG_TYPE_ObjectID \
            <NewID:A_ARG_TYPE_ObjectID
    """,
    "SwitchPower": """
        R SetTarget >newTargetValue:Target
        R GetTarget <RetTargetValue:Target
        R GetStatus <ResultStatus:Status
    """,
    "Dimming": """
        R SetLoadLevelTarget >newLoadlevelTarget:LoadLevelTarget
        R GetLoadLevelTarget <GetLoadlevelTarget:LoadLevelTarget
        R GetLoadLevelStatus <retLoadlevelStatus:LoadLevelStatus
        O SetOnEffectLevel >newOnEffectLevel:OnEffectLevel
        O SetOnEffect >newOnEffect:OnEffect
        O GetOnEffectParameters <retOnEffect:OnEffect <retOnEffectLevel:OnEffectLevel
        O StepUp
        O StepDown
        O StartRampUp
        O StartRampDown
        O StopRamp
        O StartRampToLevel >newLoadLevelTarget:LoadLevelTarget >newRampTime:RampTime
        O SetStepDelta >newStepDelta:StepDelta
        O GetStepDelta <retStepDelta:StepDelta
        O SetRampRate >newRampRate:RampRate
        O GetRampRate <retRampRate:RampRate
        O PauseRamp
        O ResumeRamp
        O GetIsRamping <retIsRamping:IsRamping
        O GetRampPaused <retRampPaused:RampPaused
        O GetRampTime <retRampTime:RampTime
    """,
    "WANIPConnection": f"""
        R SetConnectionType >NewConnectionType:ConnectionType
        R GetConnectionTypeInfo <NewConnectionType:ConnectionType \
            <NewPossibleConnectionTypes:PossibleConnectionTypes
        R RequestConnection
        O RequestTermination
        R ForceTermination
        O SetAutoDisconnectTime >NewAutoDisconnectTime:AutoDisconnectTime
        O SetIdleDisconnectTime >NewIdleDisconnectTime:IdleDisconnectTime
        O SetWarnDisconnectDelay >NewWarnDisconnectDelay:WarnDisconnectDelay
        R GetStatusInfo <NewConnectionStatus:ConnectionStatus \
            <NewLastConnectionError:LastConnectionError <NewUptime:Uptime
        O GetAutoDisconnectTime <NewAutoDisconnectTime:AutoDisconnectTime
        O GetIdleDisconnectTime <NewIdleDisconnectTime:IdleDisconnectTime
        O GetWarnDisconnectDelay <NewWarnDisconnectDelay:WarnDisconnectDelay
        R GetNATRSIPStatus <NewRSIPAvailable:RSIPAvailable <NewNATEnabled:NATEnabled
        R GetGenericPortMappingEntry >NewPortMappingIndex:PortMappingNumberOfEntries \
            {_MAPPING_KEY.replace(">", "<")} {_MAPPED.format("<")}
        R GetSpecificPortMappingEntry {_MAPPING_KEY} {_MAPPED.format("<")}
        R AddPortMapping {_MAPPING_KEY} {_MAPPED.format(">")}
        R DeletePortMapping {_MAPPING_KEY}
        R GetExternalIPAddress <NewExternalIPAddress:ExternalIPAddress
    """,
    "WANCommonInterfaceConfig": """
        O SetEnabledForInternet >NewEnabledForInternet:EnabledForInternet
        O GetEnabledForInternet <NewEnabledForInternet:EnabledForInternet
        R GetCommonLinkProperties <NewWANAccessType:WANAccessType \
            <NewLayer1UpstreamMaxBitRate:Layer1UpstreamMaxBitRate \
            <NewLayer1DownstreamMaxBitRate:Layer1DownstreamMaxBitRate \
            <NewPhysicalLinkStatus:PhysicalLinkStatus
        O GetWANAccessProvider <NewWANAccessProvider:WANAccessProvider
        O GetMaximumActiveConnections <NewMaximumActiveConnections:MaximumActiveConnections
        O GetTotalBytesSent <NewTotalBytesSent:TotalBytesSent
        O GetTotalBytesReceived <NewTotalBytesReceived:TotalBytesReceived
        O GetTotalPacketsSent <NewTotalPacketsSent:TotalPacketsSent
        O GetTotalPacketsReceived <NewTotalPacketsReceived:TotalPacketsReceived
        O GetActiveConnection >NewActiveConnectionIndex:NumberOfActiveConnections \
            <NewActiveConnDeviceContainer:ActiveConnectionDeviceContainer \
            <NewActiveConnectionServiceID:ActiveConnectionServiceID
    """,
}


class StandardAction(NamedTuple):
    """A row of a table. An argument is its name, its direction and the related variable."""

    name: str
    required: bool
    arguments: tuple[tuple[str, str, str], ...]


def _read(line: str) -> StandardAction:
    need, name, *words = line.split()
    arguments = []
    for word in words:
        argument, _, variable = word[1:].partition(":")
        arguments.append((argument, {">": "in", "<": "out"}[word[0]], variable))
    return StandardAction(name, {"R": True, "O": False}[need], tuple(arguments))


STANDARD_ACTIONS = {
    service: tuple(_read(line) for line in table.replace("\\\n", " ").splitlines() if line.strip())
    for service, table in _TABLES.items()
}
"""The name of a service -> the actions of its version 1."""
