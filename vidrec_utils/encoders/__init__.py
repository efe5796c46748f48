"""What the encoders of text, images, videos and sound share: protocol, weights, downloads, runtime.

`protocol` says what callers may rely on in an encoder, `weights` where its weights come from and
how they are checked, `download` fetches published ones, `accelerate` lets a network run on
OpenVINO, and `Windows` says how a clip of any length becomes one vector.
"""

from vidrec_utils.encoders.catalogue import Catalogue, Entry, LoadRequest
from vidrec_utils.encoders.download import HubCheckpoint, PublishedFile, fetch, hub_folder
from vidrec_utils.encoders.protocol import (
    ClipEncoder,
    Encoder,
    FrameContract,
    HasNetwork,
    Layered,
    LayeredInOnePass,
    SoundContract,
    SoundEncoder,
    Staged,
    TimedContract,
    Tunable,
    WeightsInfo,
    batches,
)
from vidrec_utils.encoders.runtime import (
    AcceleratedEncoder,
    accelerate,
    milliseconds,
    vector_network,
)
from vidrec_utils.encoders.weights import (
    PackagedFile,
    PackagedFiles,
    WeightsError,
    WeightsNotAvailable,
    file_info,
    fingerprint_of,
    load_strictly,
    read_checkpoint,
    read_settings,
    read_tokenizer,
    renamed,
    verify,
)
from vidrec_utils.encoders.windows import Spans, Windows

__all__ = [
    "AcceleratedEncoder",
    "Catalogue",
    "ClipEncoder",
    "Encoder",
    "Entry",
    "FrameContract",
    "HasNetwork",
    "HubCheckpoint",
    "Layered",
    "LayeredInOnePass",
    "LoadRequest",
    "PackagedFile",
    "PackagedFiles",
    "PublishedFile",
    "SoundContract",
    "SoundEncoder",
    "Spans",
    "Staged",
    "TimedContract",
    "Tunable",
    "WeightsError",
    "WeightsInfo",
    "WeightsNotAvailable",
    "Windows",
    "accelerate",
    "batches",
    "fetch",
    "file_info",
    "fingerprint_of",
    "hub_folder",
    "load_strictly",
    "milliseconds",
    "read_checkpoint",
    "read_settings",
    "read_tokenizer",
    "renamed",
    "vector_network",
    "verify",
]
