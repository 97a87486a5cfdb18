using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>No number is given to an operator of TorchSharp but by <c>Held</c>, which keeps it alive.</summary>
public sealed class HeldScalarsTests
{
    private const byte Call = 0x28; // of IL

    public static TheoryData<string> Assemblies
        => [.. new[] { typeof(Confidence), typeof(MultiExitNetwork), typeof(TrainingLoss), typeof(BilevelLoop), typeof(UsageException) }
            .Select(type => type.Assembly.Location)];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void Every_number_is_held(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        MetadataReader metadata = file.GetMetadataReader();
        HashSet<int> conversions =
        [
            .. metadata.MemberReferences.Where(handle => Converts(metadata.GetMemberReference(handle)))
                .Select(handle => MetadataTokens.GetToken(handle)),
        ];

        conversions.Should().NotBeEmpty("Held converts numbers itself");
        metadata.MethodDefinitions.Select(metadata.GetMethodDefinition)
            .Where(method => NameOf(method.GetDeclaringType()) != "HeldScalars" && method.RelativeVirtualAddress != 0
                && Calls(file.GetMethodBody(method.RelativeVirtualAddress).GetILBytes()!).Any(conversions.Contains))
            .Select(method => $"{NameOf(method.GetDeclaringType())}.{metadata.GetString(method.Name)}").Should().BeEmpty();

        bool Converts(MemberReference member) => member.Parent.Kind == HandleKind.TypeReference
            && (metadata.GetString(member.Name), TypeOf((TypeReferenceHandle)member.Parent)) switch
            {
                ("ToScalar", _) or ("op_Implicit", "Scalar") => true,
                ("op_Implicit", _) => false,
                // x * 2, which converts the number itself.
                (var name, "Tensor") => name.StartsWith("op_", StringComparison.Ordinal)
                    && TakesNumber(metadata.GetBlobReader(member.Signature)),
                _ => false,
            };

        string TypeOf(TypeReferenceHandle type) => metadata.GetString(metadata.GetTypeReference(type).Name);

        string NameOf(TypeDefinitionHandle type) => metadata.GetString(metadata.GetTypeDefinition(type).Name);
    }

    private static bool TakesNumber(BlobReader signature)
    {
        signature.ReadSignatureHeader();
        for (signature.ReadCompressedInteger(); signature.RemainingBytes > 0;)
        {
            switch (signature.ReadSignatureTypeCode())
            {
                case SignatureTypeCode.Int32 or SignatureTypeCode.Int64 or SignatureTypeCode.Single or SignatureTypeCode.Double:
                    return true;
                case SignatureTypeCode.TypeHandle:
                    signature.ReadTypeHandle();
                    break;
            }
        }

        return false;
    }

    private static IEnumerable<int> Calls(byte[] code)
        => Enumerable.Range(0, Math.Max(0, code.Length - 4)).Where(at => code[at] == Call).Select(at => BitConverter.ToInt32(code, at + 1));
}
