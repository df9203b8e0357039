# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module is PRIVATE to the collection.
"""Which architectures vLLM serves: the names registered in vllm/model_executor/models/registry.py of vLLM 0.33.0."""

from __future__ import annotations

VLLM_VERSION = "0.33.0"

# Text in, text out.
GENERATE = frozenset(
    """
    AfmoeForCausalLM AliceAIForCausalLM ApertusForCausalLM AXK1ForCausalLM BailingMoeForCausalLM
    BailingMoeV2_5ForCausalLM BailingMoeV2ForCausalLM BailingMoeV3ForCausalLM BeamForCausalLM BloomForCausalLM
    ChatGLMForConditionalGeneration ChatGLMModel Cohere2ForCausalLM Cohere2MoeForCausalLM CohereForCausalLM
    DbrxForCausalLM DeciLMForCausalLM DeepseekForCausalLM DeepseekV2ForCausalLM DeepseekV32ForCausalLM
    DeepseekV3ForCausalLM DeepseekV4ForCausalLM DomynEdgeForCausalLM DoryForCausalLM Ernie4_5_MoeForCausalLM
    Ernie4_5ForCausalLM Exaone4ForCausalLM ExaoneForCausalLM ExaoneMoEForCausalLM ExaoneMoeForCausalLM
    FalconForCausalLM FalconH1ForCausalLM FalconMambaForCausalLM FlintForCausalLM Gemma2ForCausalLM
    Gemma3ForCausalLM Gemma3nForCausalLM Gemma4ForCausalLM GemmaForCausalLM Glm4ForCausalLM Glm4MoeForCausalLM
    Glm4MoeLiteForCausalLM Glm5NextForCausalLM GlmMoeDsaForCausalLM GPT2LMHeadModel GPTJForCausalLM
    GptOssForCausalLM GraniteForCausalLM GraniteMoeForCausalLM GraniteMoeHybridForCausalLM
    GraniteMoeSharedForCausalLM GraniteMoeSWAForCausalLM GraniteSWAForCausalLM HCXVisionV2ForCausalLM
    HrmTextForCausalLM HyperCLOVAXForCausalLM HYV3ForCausalLM HYV4ForCausalLM InklingForCausalLM
    InklingForConditionalGeneration InternLM2ForCausalLM InternLM3ForCausalLM IQuestCoderForCausalLM
    IQuestLoopCoderForCausalLM JambaForCausalLM K2HorizonForCausalLM KimiLinearForCausalLM LagunaForCausalLM
    Lfm2ForCausalLM Lfm2MoeForCausalLM Llama4ForCausalLM LlamaForCausalLM LLaMAForCausalLM LongcatFlashForCausalLM
    LongcatFlashNgramForCausalLM Mamba2ForCausalLM MambaForCausalLM MiMoForCausalLM MiMoV2FlashForCausalLM
    MiMoV2ForCausalLM MiniCPM3ForCausalLM MiniCPMForCausalLM MiniMaxM2ForCausalLM MiniMaxM3SparseForCausalLM
    Ministral3ForCausalLM MistralForCausalLM MistralLarge3ForCausalLM MixtralForCausalLM MuseGlimmerForCausalLM
    NemotronForCausalLM NemotronHForCausalLM NemotronHPuzzleForCausalLM OlmoeForCausalLM OlmoHybridForCausalLM
    OPTForCausalLM OrionForCausalLM PanguEmbeddedForCausalLM PanguProMoEV2ForCausalLM PanguUltraMoEForCausalLM
    Param2MoEForCausalLM Phi3ForCausalLM PhiMoEForCausalLM Plamo3ForCausalLM Qwen2ForCausalLM Qwen2MoeForCausalLM
    Qwen3_5ForCausalLM Qwen3_5MoeForCausalLM Qwen3ForCausalLM Qwen3MoeForCausalLM Qwen3NextForCausalLM
    Qwen4ExpForCausalLM Rnj1ForCausalLM SarvamMLAForCausalLM SarvamMoEForCausalLM SolarForCausalLM
    StableLmForCausalLM Step1ForCausalLM Step3p5ForCausalLM Step3TextForCausalLM Step5ForCausalLM
    TeleChat2ForCausalLM TeleChat3ForCausalLM TeleFLMForCausalLM Zamba2ForCausalLM
    """.split()
)

# Text generation from images, sound or video too.
MULTIMODAL = frozenset(
    """
    Alpamayo2Super AriaForConditionalGeneration AudioFlamingo3ForConditionalGeneration
    BagelForConditionalGeneration BailingMoeV3VLForConditionalGeneration BeeForConditionalGeneration
    Blip2ForConditionalGeneration Cohere2VisionForConditionalGeneration CohereAsrForConditionalGeneration
    CohereCompassForConditionalGeneration Cosmos3EdgeForConditionalGeneration Cosmos3ForConditionalGeneration
    DeepseekOCR2ForCausalLM DeepseekOCRForCausalLM DeepseekV41ForCausalLM DeepseekV4ForConditionalGeneration
    DeepseekVLV2ForCausalLM DiffusionGemmaForBlockDiffusion Dots3NoteForCausalLM DotsOCRForCausalLM
    Eagle2_5_VLForConditionalGeneration Ernie4_5_VLMoeForConditionalGeneration Exaone4_5_ForConditionalGeneration
    FireRedASR2ForConditionalGeneration FunASRForConditionalGeneration FunAudioChatForConditionalGeneration
    Gemma3ForConditionalGeneration Gemma3nForConditionalGeneration Gemma4ForConditionalGeneration
    Gemma4UnifiedForConditionalGeneration GLM4VForCausalLM Glm4vForConditionalGeneration
    Glm4vMoeForConditionalGeneration Glm5NextForConditionalGeneration GlmAsrForConditionalGeneration
    GlmOcrForConditionalGeneration Granite4VisionForConditionalGeneration GraniteSpeechForConditionalGeneration
    GraniteSpeechPlusForConditionalGeneration H2OVLChatModel HfMoondream Idefics3ForConditionalGeneration
    InternS1ForConditionalGeneration InternS1ProForConditionalGeneration InternS2MobiusForConditionalGeneration
    InternS2PreviewForConditionalGeneration InternVLChatModel InternVLForConditionalGeneration
    IsaacForConditionalGeneration KananaVForConditionalGeneration KeyeForConditionalGeneration
    KeyeVL1_5ForConditionalGeneration KimiK25ForConditionalGeneration KimiK3ForConditionalGeneration
    KimiVLForConditionalGeneration Lfm2VlForConditionalGeneration LightOnOCRForConditionalGeneration
    Llama4ForConditionalGeneration Llama_Nemotron_Nano_VL LlavaForConditionalGeneration
    LlavaNextForConditionalGeneration LlavaNextVideoForConditionalGeneration
    LlavaOnevision2ForConditionalGeneration LlavaOnevisionForConditionalGeneration MiDashengLMModel
    MiMoV2OmniForCausalLM MiniCPMO MiniCPMOcrForConditionalGeneration MiniCPMV MiniCPMV4_6ForConditionalGeneration
    MiniCPMV4_7ForConditionalGeneration MiniMaxM3SparseForConditionalGeneration Mistral3ForConditionalGeneration
    Molmo2ForConditionalGeneration MolmoForCausalLM Moondream3ForCausalLM MoonshotKimiaForCausalLM MossAudioModel
    MossTranscribeDiarizeForConditionalGeneration MuseGlimmerForConditionalGeneration
    MuseSparkForConditionalGeneration NemotronH_Nano_Omni_Reasoning_V3 NemotronH_Nano_VL_V2
    NemotronH_Omni_Reasoning_V3 NemotronH_Super_Omni_Reasoning_V3 NemotronParseForConditionalGeneration NVLM_D
    OpenCUAForConditionalGeneration OpenPanguVLForConditionalGeneration OpenVLAForActionPrediction Ovis Ovis2_5
    Ovis2_6_MoeForCausalLM Ovis2_6ForCausalLM PaddleOCRVLForConditionalGeneration
    PaliGemmaForConditionalGeneration Phi3VForCausalLM Phi4ForCausalLMV Phi4MMForCausalLM
    PixtralForConditionalGeneration QianfanOCRForConditionalGeneration Qwen2_5_VLForConditionalGeneration
    Qwen2_5OmniForConditionalGeneration Qwen2_5OmniModel Qwen2AudioForConditionalGeneration
    Qwen2VLForConditionalGeneration Qwen3_5ForConditionalGeneration Qwen3_5MoeForConditionalGeneration
    Qwen3ASRForConditionalGeneration Qwen3ASRRealtimeGeneration Qwen3OmniMoeForConditionalGeneration
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration Qwen4ExpForConditionalGeneration
    RadioMBartPrefixForCausalLM RForConditionalGeneration SkyworkR1VChatModel SmolVLMForConditionalGeneration
    Step3p7ForConditionalGeneration Step3VLForConditionalGeneration Step5ForConditionalGeneration
    StepVLForConditionalGeneration UltravoxModel UnlimitedOCRForCausalLM VoxtralForConditionalGeneration
    VoxtralRealtimeGeneration WhisperForConditionalGeneration
    """.split()
)

# Pooling models that return vectors.
EMBED = frozenset(
    """
    BertForMaskedLM BertModel BertSpladeSparseEmbeddingModel BgeM3EmbeddingModel CLIPModel ColBERTJinaRobertaModel
    ColBERTLfm2Model ColBERTModernBertModel ColModernVBertForRetrieval ColPaliForRetrieval ColQwen3 ColQwen3_5
    ColUltraVBertForRetrieval DeepseekV3BidirectionalModel EmbeddingGemma2Model Gemma2Model Gemma3TextModel
    GteModel GteNewModel HF_ColBERT JinaEmbeddingsV5Model JinaForRanking Lfm2BidirectionalModel
    LlamaBidirectionalModel LlamaModel LlamaNemotronVLModel MistralModel ModernBertModel ModernVBertModel
    NomicBertModel OpsColQwen3Model Qwen2Model Qwen3VLNemotronEmbedModel RobertaForMaskedLM RobertaModel
    SiglipModel Terratorch VoyageQwen3BidirectionalEmbedModel XLMRobertaModel
    """.split()
)

# Pooling models that return scores or classes.
CLASSIFY = frozenset(
    """
    BertForSequenceClassification BertForTokenClassification ClefFlashForJointSchema ClefOmniForJointSchema
    D3ForSequenceClassification GPT2ForSequenceClassification GteNewForSequenceClassification
    InternLM2ForRewardModel JambaForSequenceClassification JinaVLForRanking
    LlamaBidirectionalForSequenceClassification LlamaNemotronVLForSequenceClassification
    ModernBertForSequenceClassification ModernBertForTokenClassification OpenAIPrivacyFilterForTokenClassification
    Qwen2ForProcessRewardModel Qwen2ForRewardModel Qwen3ASRForcedAlignerForTokenClassification
    RobertaForSequenceClassification RobertaForTokenClassification XLMRobertaForSequenceClassification
    XLMRobertaForTokenClassification
    """.split()
)

# Served through vLLM's Transformers backend.
TRANSFORMERS = frozenset(
    """
    ArceeForCausalLM CwmForCausalLM Emu3ForConditionalGeneration FlexOlmoForCausalLM GlmForCausalLM
    GPTBigCodeForCausalLM GPTNeoXForCausalLM HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM
    HunYuanVLForConditionalGeneration Jais2ForCausalLM Kolibri1ForCausalLM MellumForCausalLM NanbeigeForCausalLM
    Olmo2ForCausalLM Olmo3ForCausalLM OlmoForCausalLM PhiForCausalLM SeedOssForCausalLM SmolLM3ForCausalLM
    Starcoder2ForCausalLM VaultGemmaForCausalLM VibeVoiceAsrForConditionalGeneration
    """.split()
)

# Heads for speculative decoding: loaded beside a model, never served alone.
DRAFT = frozenset(
    """
    BailingMoeV25MTPModel BailingMoeV3MTPModel DeepSeekMTPModel DeepseekV32MTPModel DeepSeekV4MTPModel
    DFlash2BeamDraftModel DFlash2DraftModel DFlashDraftModel DFlashLagunaForCausalLM
    DFlashMuseGlimmerAssistantModel DFlashQwen3XPressModel Dots3NoteMTPModel DSparkDraftModel DSparkV41DraftModel
    Eagle3DeepseekV2ForCausalLM Eagle3DeepseekV3ForCausalLM Eagle3LlamaForCausalLM Eagle3MiniMaxM2ForCausalLM
    Eagle3Qwen2_5vlForCausalLM Eagle3Qwen3ForCausalLM Eagle3Qwen3vlForCausalLM EagleCohereForCausalLM
    EagleDeepSeekMTPModel EagleLlama4ForCausalLM EagleLlamaForCausalLM EagleMiniCPMForCausalLM
    EagleMistralForCausalLM EagleMistralLarge3ForCausalLM ErnieMTPModel Exaone4_5_MTP ExaoneMoeMTP
    ExtractHiddenStatesModel Gemma4DSparkModel Gemma4MTPModel Glm4MoeLiteMTPModel Glm4MoeMTPModel Glm5NextMTPModel
    GlmOcrMTPModel HYV3MTPModel HYV4MTPModel InklingMTPModel InternS2MobiusMTP K3DSparkModel KimiK3MTPModel
    LiLiCorrDraftModel LlamaForCausalLMEagle3 LongCatFlashMTPModel MiMoMTPModel MiMoV2MTPModel MiMoV2OmniMTPModel
    MiniMaxM3MTP MuseGlimmerAssistantModel MuseSparkDSparkModel NemotronHMTPModel OpenPanguMTPModel
    ParseAuxMTPModel PEagleDraftModel PeagleLlamaForCausalLM PeagleQwen3ForCausalLM Qwen3_5MoeMTP Qwen3_5MTP
    Qwen3DSparkModel Qwen3NextMTP Qwen3OmniDSparkModel Qwen3XPressModel Qwen4ExpMTP Step3p5MTP Step5MTP
    """.split()
)

# Dropped since: name and the last vLLM version that served it.
REMOVED = dict(
    item.split(":")
    for item in """
    AquilaForCausalLM:0.24.0 AquilaModel:0.24.0 ArcticForCausalLM:0.28.0 AyaVisionForConditionalGeneration:0.24.0
    BaiChuanForCausalLM:0.23.0 BaichuanForCausalLM:0.23.0 BambaForCausalLM:0.23.0
    ChameleonForConditionalGeneration:0.28.0 Cheers:0.28.0 CheersForConditionalGeneration:0.28.0
    DonutForConditionalGeneration:0.10.2 Dots1ForCausalLM:0.23.0 ErnieForSequenceClassification:0.23.0
    ErnieForTokenClassification:0.23.0 ErnieModel:0.23.0 Fairseq2LlamaForCausalLM:0.28.0
    FireRedLIDForConditionalGeneration:0.28.0 FuyuForCausalLM:0.25.0 GritLM:0.28.0 Grok1ForCausalLM:0.24.0
    Grok1ModelForCausalLM:0.24.0 HCXVisionForCausalLM:0.28.0 InternLM2VEForCausalLM:0.23.0
    InternLMForCausalLM:0.23.0 JAISLMHeadModel:0.22.0 MantisForConditionalGeneration:0.24.0
    MiniMaxForCausalLM:0.23.0 MiniMaxM1ForCausalLM:0.23.0 MiniMaxText01ForCausalLM:0.23.0
    MiniMaxVL01ForConditionalGeneration:0.23.0 MllamaForConditionalGeneration:0.10.2 MotifForCausalLM:0.10.2
    MPTForCausalLM:0.28.0 MptForCausalLM:0.28.0 MusicFlamingoForConditionalGeneration:0.24.0
    OuroForCausalLM:0.26.0 PersimmonForCausalLM:0.25.0 Phi3SmallForCausalLM:0.9.2 Phi4FlashForCausalLM:0.10.2
    Phi4MultimodalForCausalLM:0.12.0 Plamo2ForCausalLM:0.26.0 PrithviGeoSpatialMAE:0.28.0 QWenLMHeadModel:0.23.0
    QwenVLForConditionalGeneration:0.23.0 RWForCausalLM:0.28.0 StableLMEpochForCausalLM:0.28.0
    Tarsier2ForConditionalGeneration:0.23.0 TarsierForConditionalGeneration:0.24.0 TeleChatForCausalLM:0.25.0
    XverseForCausalLM:0.23.0
    """.split()
)

KNOWN = GENERATE | MULTIMODAL | EMBED | CLASSIFY | TRANSFORMERS

# Their weights on a rank were compared with what vLLM's own classes hold (tests/truth/weights); others follow the same
# general rules unchecked.
WEIGHTS_CHECKED = frozenset(
    """
    BertModel BloomForCausalLM Cohere2ForCausalLM CohereForCausalLM DbrxForCausalLM DeepseekV2ForCausalLM
    DeepseekV3ForCausalLM Ernie4_5_MoeForCausalLM Ernie4_5ForCausalLM Exaone4ForCausalLM FalconForCausalLM
    FalconH1ForCausalLM FalconMambaForCausalLM Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration
    Gemma3nForConditionalGeneration GemmaForCausalLM Glm4ForCausalLM Glm4MoeForCausalLM GPT2LMHeadModel
    GPTJForCausalLM GPTNeoXForCausalLM GptOssForCausalLM GraniteForCausalLM GraniteMoeForCausalLM
    GraniteMoeHybridForCausalLM HunYuanDenseV1ForCausalLM JambaForCausalLM Lfm2ForCausalLM
    Llama4ForConditionalGeneration LlamaForCausalLM LlavaForConditionalGeneration LlavaNextForConditionalGeneration
    Mamba2ForCausalLM MambaForCausalLM MiniCPM3ForCausalLM MiniMaxM2ForCausalLM Mistral3ForConditionalGeneration
    MistralForCausalLM MistralModel MixtralForCausalLM ModernBertModel NemotronForCausalLM NemotronHForCausalLM
    NomicBertModel Olmo2ForCausalLM Olmo3ForCausalLM OlmoeForCausalLM OPTForCausalLM Phi3ForCausalLM PhiForCausalLM
    PhiMoEForCausalLM Qwen2_5_VLForConditionalGeneration Qwen2AudioForConditionalGeneration Qwen2ForCausalLM
    Qwen2MoeForCausalLM Qwen2VLForConditionalGeneration Qwen3_5ForConditionalGeneration
    Qwen3_5MoeForConditionalGeneration Qwen3ForCausalLM Qwen3MoeForCausalLM Qwen3NextForCausalLM
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration SeedOssForCausalLM SmolLM3ForCausalLM
    StableLmForCausalLM Starcoder2ForCausalLM XLMRobertaForSequenceClassification XLMRobertaModel
    """.split()
)
